import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { dockerArchive, type LayerEntry, layerOf, writeContainer } from "@ovms/testkit/container.ts"
import { UNPACKED } from "@ovms/testkit/machines.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import type { ErrorCode } from "../src/errors.ts"
import { Sandbox } from "./sandbox.ts"

// A container image becomes a machine, and boots.

setDefaultTimeout(400_000)

const CACHE = join(import.meta.dir, "../../../.cache")
const BUSYBOX = join(CACHE, "deb/busybox-static/bin/busybox")
const skip = [UNPACKED, BUSYBOX].find((path) => !existsSync(path))
if (skip) console.log(`SKIP packages/ovm/test/container.test.ts: there is no ${skip}; make machine`)

const SCRIPT = `#!/bin/sh
say() { echo "FOUND $*"; }
say "$(id -u):$(id -g) $(pwd) $GREETING $*"
stat -c 'FOUND %A %u:%g %Y %h %n' su hard link ../null /srv
say "$(readlink link) $(cat below/kept) $(ls below)"
[ -e "$(printf 'odd\\377\\n"')" ] && say odd
until grep -q nameserver /etc/resolv.conf 2>/dev/null; do sleep 0.1; done
say "$(ip -4 addr show eth0 | grep -c inet) address, $(df -k / | awk 'NR == 2 { print ($2 > 15000000) }') grown"
exit 7
`

describe.skipIf(Boolean(skip))("a container image", () => {
  let box: Sandbox
  const below: LayerEntry[] = [
    { name: "etc/passwd", content: "web:x:1000:1001::/:/bin/sh\n" },
    { name: "srv/below/gone", content: "gone" },
    { name: "srv/below/kept", content: "kept" },
    { name: "null", type: "3", device: [1, 3], mode: 0o666, time: "1200000000" },
  ]
  const above: LayerEntry[] = [
    { name: "srv/below/.wh.gone" },
    { name: "srv/su", content: "su", mode: 0o4711, uid: 70000, gid: 5, time: "1300000000.5" },
    { name: "srv/hard", type: "1", link: "/srv/su" },
    { name: "srv/link", type: "2", link: "../null", uid: 6, time: "1100000000" },
    { name: 'srv/odd\xff\n"', content: "odd" },
    { name: "srv/main", content: SCRIPT, mode: 0o755 },
    { name: "srv/", mode: 0o1777, time: "1000000000" },
  ]
  const config = {
    Entrypoint: ["/bin/sh", "/srv/main"],
    Cmd: ["one", "two words"],
    Env: ["GREETING=hello there", "PATH=/bin"],
    WorkingDir: "/srv",
    User: "web",
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    Labels: { "org.opencontainers.image.title": "web", other: "label" },
  }
  const layers = () => {
    const shell: LayerEntry[] = [
      "sh",
      "id",
      "stat",
      "readlink",
      "cat",
      "ls",
      "grep",
      "sleep",
      "ip",
      "df",
      "awk",
    ].map((name) => ({ name: `bin/${name}`, type: "2", link: "busybox" }))
    const busybox = { name: "bin/busybox", content: readFileSync(BUSYBOX), mode: 0o755 }
    const first = layerOf([busybox, ...shell, ...below])
    const packed = { packed: gzipSync(first), mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" }
    return [{ tar: first, ...packed }, { tar: layerOf(above) }]
  }
  const imported = (source: string, ...more: string[]) =>
    box.json(["import", source, "-t", "web:1", "--kernel-from", "demo:1", ...more])
  const left = () => readdirSync(join(box.home, "importing"))

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "demo:1"])
  })
  afterAll(async () => await box[Symbol.asyncDispose]())

  test("is the same machine wherever it lies, and says where it is from [OVMS-IMP-040, OVMS-IMP-048, OVMS-IMP-052, OVMS-IMP-053, OVMS-IMP-054]", async () => {
    const base = await writeContainer(box.path("layout"), layers(), config)
    await writeContainer(box.path("indexed"), layers(), config, { indexed: true })
    const { digest } = await imported("./layout")
    expect((await imported("indexed")).digest).toBe(digest)
    await box.shell("tar cf layout.tar -C layout .")
    expect((await imported("oci-archive:layout.tar")).digest).toBe(digest)
    expect((await imported("layout.tar")).digest).toBe(digest)
    expect(left()).toEqual([])
    const { manifest, annotations } = await box.json(["inspect", "web:1"])
    expect(manifest).toMatchObject({
      network: [{ mode: "user", ports: [{ guest: 80 }, { guest: 53, protocol: "udp" }] }],
      agent: { protocol: "ovms.agent.v1" },
    })
    expect(manifest.kernel.args).toMatch(/ root=\/dev\/vda rootfstype=ext4 rw init=\/etc\/ovm\/init$/)
    expect(annotations).toMatchObject({
      "org.opencontainers.image.base.digest": base,
      "org.opencontainers.image.title": "web",
    })
    expect(annotations["org.ovms.import.layers"]).toMatch(/^sha256:[0-9a-f]{64},sha256:[0-9a-f]{64}$/)
    await box.file("docker.tar", dockerArchive(layers(), config))
    const docker = await imported("docker.tar", "--no-agent")
    expect(docker.digest).not.toBe(digest)
    expect((await box.json(["inspect", "web:1"])).manifest).not.toHaveProperty("agent")
  })

  test.skipIf(!Bun.which("skopeo") || Boolean(registryMissing))(
    "comes from a registry, and from an archive, as skopeo writes them [OVMS-IMP-040, OVMS-IMP-053]",
    async () => {
      await using registry = await startRegistry()
      const copied = await box.shell(
        `skopeo copy -q --dest-tls-verify=false oci:layout docker://${registry.host}/web:1 && skopeo copy -q oci:layout docker-archive:skopeo.tar:web:1`,
      )
      expect([copied.status, copied.stderr]).toEqual([0, ""])
      const disk = async () => (await box.json(["inspect", "web:1"])).layers
      await imported("layout")
      const [layers, name] = [await disk(), `${registry.host}/web:1`]
      await imported(`docker://${name}`, "--plain-http")
      expect(await disk()).toEqual(layers)
      const { annotations } = await box.json(["inspect", "web:1"])
      expect(annotations["org.opencontainers.image.base.name"]).toBe(name)
      await imported("skopeo.tar")
      expect(await disk()).toEqual(layers)
    },
  )

  test("boots, and does what it says, in what its layers say [OVMS-IMP-049, OVMS-IMP-050, OVMS-IMP-051]", async () => {
    await imported("layout", "--memory", "192MiB")
    // The same on a larger disk.
    const { layers, kernel, initrd } = await box.json(["inspect", "web:1"])
    const blob = ({ digest }: { digest: string }) => join(box.home, "store/blobs/sha256", digest.slice(7))
    await box.shell(`cp ${blob(layers[0])} larger && chmod u+w larger && qemu-img resize -q larger 16G`)
    await box.file("larger.json", {
      schemaVersion: 1,
      name: "web",
      kernel: { path: blob(kernel), args: kernel.args },
      initrd: { path: blob(initrd) },
      diskLayers: [{ path: "larger" }],
      resources: { memory: 192 << 20 },
    })
    await box.ok(["pack", "-f", "larger.json", "-t", "larger:1"])
    await box.ok(["run", "-d", "--name", "web", "larger:1"])
    await until("it ends", () => box.json(["status", "web"]), {
      is: ({ state }) => state === "stopped",
      deadlineMs: 380_000,
      everyMs: 500,
    })
    expect((await box.json(["status", "web"])).exit).toMatchObject({ status: 7, reason: "result" })
    const logs = await box.ok(["logs", "web"])
    const found = logs
      .split("\n")
      .flatMap((line) => (line.startsWith("FOUND ") ? [line.slice(6).trim()] : []))
    expect(found).toEqual([
      "1000:1001 /srv hello there one two words",
      "-rws--x--x 70000:5 1300000000 2 su",
      "-rws--x--x 70000:5 1300000000 2 hard",
      "lrw-r--r-- 6:0 1100000000 1 link",
      "crw-rw-rw- 0:0 1200000000 1 ../null",
      "drwxrwxrwt 0:0 1000000000 3 /srv",
      "../null kept kept",
      "odd",
      "1 address, 1 grown",
    ])
  })

  test("what cannot become a machine is refused by name, and nothing is left [OVMS-IMP-040, OVMS-IMP-045, OVMS-IMP-052]", async () => {
    const args = (source: string) => ["import", source, "-t", "bad:1", "--kernel-from", "demo:1"]
    const refused = (code: ErrorCode, source: string, culprit: string) =>
      box.fails(args(source), code, [culprit])
    await writeContainer(box.path("climbs"), [{ tar: layerOf([{ name: "../../etc/passwd" }]) }], {})
    await refused("OVM_ARTIFACT_INVALID", "climbs", "../../etc/passwd")
    await writeContainer(box.path("ports"), layers(), { ExposedPorts: { "80/sctp": {} } })
    await refused("OVM_UNSUPPORTED", "ports", "80/sctp")
    await writeContainer(box.path("lies"), [{ tar: layerOf(below), packed: layerOf(above) }], {})
    await refused("OVM_DIGEST_MISMATCH", "lies", "layer 1")
    await box.shell("mkdir boot && echo none >boot/vmlinuz && echo none >boot/initrd.img")
    await writeContainer(box.path("plain"), [{ tar: layerOf(below) }], {})
    await box.fails(["import", "plain", "-t", "bad:1", "--kernel-from", "boot"], "OVM_KERNEL_INVALID", [
      box.path("boot/vmlinuz"),
    ])
    expect(left()).toEqual([])
    expect(await box.ok(["images"])).not.toContain("bad")
  })
})
