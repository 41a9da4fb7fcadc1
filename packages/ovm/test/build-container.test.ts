import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs"
import { mkdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { dockerArchive, type LayerEntry, layerOf, writeContainer } from "@ovms/testkit/container.ts"
import { UNPACKED } from "@ovms/testkit/machines.ts"
import { findPeer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// Builds that begin with a container image, and what they start.

setDefaultTimeout(1_700_000)

const CACHE = join(import.meta.dir, "../../../.cache")
const BUSYBOX = join(CACHE, "deb/busybox-static/bin/busybox")
const skip = [UNPACKED, BUSYBOX].find((path) => !existsSync(path))
if (skip) console.log(`SKIP packages/ovm/test/build-container.test.ts: there is no ${skip}; make machine`)

const STATUS = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b8\n"
const STEPS = `FROM base
ENV WHO=me
RUN echo "$GREETING $WHO $(id -u) $(pwd)" >made
COPY --chown=web page .
ADD packed.tar.xz page in/
CMD ["of the Dockerfile"]
ENTRYPOINT ["/bin/sh", "-c", "echo FOUND $GREETING $WHO $(id -u) $(pwd), $(cat made), $0; stat -c 'FOUND %U:%g %F %n' page in/*; exit 5"]
USER web
`

describe.skipIf(Boolean(skip))("a build from a container image", () => {
  let box: Sandbox
  let image: string
  // biome-ignore lint/suspicious/noExplicitAny: the test says what it expects
  let proven: any
  let written: readonly { readonly digest: string }[]
  const layers = () => {
    const programs: LayerEntry[] = ["sh", "id", "cat", "stat", "sleep", "ip", "nc", "dd", "reboot"].map(
      (name) => ({
        name: `bin/${name}`,
        type: "2",
        link: "busybox",
      }),
    )
    const busybox = { name: "bin/busybox", content: readFileSync(BUSYBOX), mode: 0o755 }
    const users = { name: "etc/passwd", content: "root:x:0:0::/:/bin/sh\nweb:x:1000:1001::/:/bin/sh\n" }
    const release = { name: "etc/os-release", content: "ID=debian\nVERSION_ID=12\n" }
    const status = { name: "var/lib/dpkg/status", content: STATUS }
    return [{ tar: layerOf([busybox, ...programs, users, release, status]) }]
  }
  // A machine that begins this while it is built ends at once.
  const config = {
    Entrypoint: ["/bin/sh", "-c", "exit 3"],
    Env: ["PATH=/bin", "GREETING=hello"],
    WorkingDir: "/srv",
    ExposedPorts: { "80/tcp": {} },
  }
  const words = ["build", "-t", "made:1", "--kernel-from", "demo:1", "--memory", "192MiB"]
  const build = async (text: string, ...args: readonly string[]) => {
    await box.file("context/Dockerfile", text)
    return await finished(box.begin([...words, ...args, "context"]), 700_000)
  }
  const inLayout = ["--build-context", "base=oci-layout://./layout"]
  const refused = async (text: string, ...args: string[]) => (await build(text, ...args)).stderr

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "demo:1"])
    image = await writeContainer(box.path("layout"), layers(), config, { indexed: true })
    await box.file("docker.tar", dockerArchive(layers(), config))
    await mkdir(box.path("context"))
    await box.file("context/page", "a page")
    await mkdir(box.path("files"))
    await box.file("files/packed", "packed")
    const packed = await box.shell(
      "ln -s packed files/link && tar -cJf context/packed.tar.xz --owner=1000 --group=8 -C files packed link",
    )
    expect([packed.status, packed.stderr]).toEqual([0, ""])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("is refused by line where its base is no image, or a file that the Dockerfile names [OVMS-BLD-041]", async () => {
    const at = (text: string) => expect.stringContaining(`OVM_BUILD_INVALID: context/Dockerfile:1: ${text}`)
    expect(await refused("FROM ./layout")).toEqual(at(""))
    expect(await refused("FROM oci:layout")).toEqual(at(""))
    expect(await refused("FROM base")).toEqual(at("there is no image base"))
    expect(await refused("FROM debian:12")).toContain("write docker.io/library/debian:12 for Docker's")
    expect(await refused("FROM base", "--build-context", "base=context/page")).toEqual(
      at("context/page is no"),
    )
    expect(await refused('FROM base\nCMD ["a\\u0000b"]', ...inLayout)).toContain(
      "Dockerfile:2: a text in it has a zero",
    )
    expect(await refused("FROM base", "--build-context", "base")).toContain("OVM_USAGE")
  })

  test("goes on from what the image says, and starts what it says in the end [OVMS-BLD-040, OVMS-BLD-042, OVMS-BLD-043, OVMS-BLD-044, OVMS-BLD-045, OVMS-IMP-080]", async () => {
    const said = await build(STEPS, ...inLayout, "--build-arg", "X=y", "--provenance", "proof.json", "--json")
    expect([said.status, said.stderr]).toEqual([0, expect.stringContaining("FROM base\n")])
    const { digest, steps } = JSON.parse(said.stdout)
    expect(steps.map(({ line }: { line: number }) => line)).toEqual([3, 4, 5, 1])
    const { layers, annotations, manifest } = await box.json(["inspect", "made:1"])
    expect(layers.length).toBe(5)
    expect(manifest).toMatchObject({ name: "made", network: [{ mode: "user", ports: [{ guest: 80 }] }] })
    expect(manifest.kernel.args).toEndWith(" init=/etc/ovm/init")
    expect(annotations["org.opencontainers.image.base.digest"]).toBe(image)
    const settings = JSON.parse(annotations["ovms.settings"])
    expect(settings).toMatchObject({ Cmd: ["of the Dockerfile"], User: "web", WorkingDir: "/srv" })
    expect(settings.Env).toEqual(["PATH=/bin", "GREETING=hello", "WHO=me"])
    proven = JSON.parse(readFileSync(box.path("proof.json"), "utf8"))
    written = layers
    await box.ok(["daemon", "--stop"])
    // Neither a conversion nor a boot.
    const again = await build(STEPS, ...inLayout, "--json")
    expect(JSON.parse(again.stdout)).toMatchObject({ digest, steps: Array(4).fill({ cached: true }) })
    expect(again.stderr).not.toContain("FROM")
    expect(existsSync(join(box.home, "ovm.sock"))).toBe(false)
    const ran = await box.ovm(["run", "--rm", "--memory", "192MiB", "made:1"])
    expect(ran.stdout.split(/\r?\n/).filter((line) => line.startsWith("FOUND"))).toEqual([
      "FOUND hello me 1000 /srv, hello me 0 /srv, of the Dockerfile",
      "FOUND web:1001 regular file page",
      "FOUND web:8 symbolic link in/link",
      "FOUND web:8 regular file in/packed",
      "FOUND root:0 regular file in/page",
    ])
    expect(ran.status).toBe(5)
  })

  test("says what it was made of, step by step [OVMS-BLD-050, OVMS-BLD-051, OVMS-BLD-052, OVMS-BLD-053, OVMS-BLD-054]", async () => {
    const { buildDefinition: definition } = proven
    expect(definition).toMatchObject({
      buildType: "urn:ovms:build:dockerfile:v1",
      externalParameters: { buildArgs: { X: "y" } },
    })
    const sha256 = (text: string | Buffer) => createHash("sha256").update(text).digest("hex")
    const { kernel, initrd } = await box.json(["inspect", "demo:1"])
    const line = (name: string) =>
      `${JSON.stringify([name, "file", statSync(box.path(`context/${name}`)).mode & 0o777, `sha256:${sha256(readFileSync(box.path(`context/${name}`)))}`])}\n`
    expect(
      definition.resolvedDependencies.map((one: { annotations: object; digest: { sha256: string } }) => [
        Object.values(one.annotations)[0],
        one.digest.sha256,
      ]),
    ).toEqual([
      ["dockerfile", sha256(STEPS)],
      ["context", sha256(line("packed.tar.xz") + line("page"))],
      ["base", image.slice(7)],
      ["kernel", kernel.digest.slice(7)],
      ["initrd", initrd.digest.slice(7)],
    ])
    const { steps } = definition.internalParameters
    expect(steps.map(({ layer }: { layer: string }) => layer)).toEqual(
      written.slice(1).map(({ digest }) => digest),
    )
    expect(steps[1]).toMatchObject({ stage: "0", line: 4, step: "COPY --chown=web page ." })
    expect(JSON.stringify(proven)).not.toContain(box.directory)
    // What is installed is read from all layers together.
    expect(await box.ok(["sbom", "made:1"])).toContain(
      "pkg:deb/debian/bash@5.2.15-2+b8?arch=amd64&distro=debian-12",
    )
  })

  // Of what begins with nothing, which is a machine as soon as there is a program in it.
  test("a step that hangs, fills its disk or ends its machine leaves nothing behind, nor does a build that is killed [OVMS-BLD-016, OVMS-BLD-047, OVMS-BLD-057]", async () => {
    await using host = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("of the host") })
    const small = ["--disk-size", "64MiB"]
    await box.file("context/root.tar", layers()[0]?.tar ?? "")
    const first =
      "FROM scratch\nADD root.tar /\nENV PATH=/bin\nUSER 7:8\nWORKDIR /mine\nUSER 0\n" +
      'RUN [ "$(stat -c %a:%u:%g .)" = 755:7:8 ] && echo >written\n'
    const text = (last: string) => `${first}RUN ${last}\n`
    const hanging = async () => {
      await box.file("context/Dockerfile", text("echo hangs; sleep 100000"))
      const child = box.begin([...words, ...small, "context"])
      let said = ""
      child.stderr?.on("data", (bytes) => {
        said += bytes
      })
      await until("its step hangs", () => said, { is: (said) => /^hangs$/m.test(said), deadlineMs: 390_000 })
      return { child, said: () => said }
    }
    const killed = await hanging()
    killed.child.kill("SIGKILL")
    await once(killed.child, "exit")
    expect((await box.instances()).length).toBe(1)

    // The next one goes on from the step before, and takes the machine of the other one away.
    const { child, said } = await hanging()
    expect(said()).toContain("echo >written: kept\n")
    expect((await box.instances()).length).toBe(1)
    child.kill("SIGINT")
    expect((await once(child, "exit"))[0]).toBe(130)
    expect(await box.instances("--all")).toEqual([])

    // One whose daemon is gone cannot remove its machine. The next one does, also where it needs none itself.
    expect((await build(first, ...small)).status).toBe(0)
    const lost = await hanging()
    process.kill((await box.json(["info"])).daemon.pid, "SIGKILL")
    expect((await once(lost.child, "exit"))[0]).toBe(6)
    expect(lost.said()).toContain("error: OVM_DAEMON_UNREACHABLE: ")
    expect((await box.instances()).length).toBe(1)
    const kept = JSON.parse((await build(first, ...small, "--json")).stdout)
    expect(kept.steps.every(({ cached }: { cached: boolean }) => cached)).toBe(true)
    expect(await box.instances("--all")).toEqual([])
    expect(readdirSync(join(box.home, "building"))).toEqual(["secret"])

    const failed = async (last: string, ...words: readonly string[]) => {
      const { status, stderr } = await build(text(last), ...small)
      expect(status).toBe(8)
      for (const one of ["OVM_BUILD_FAILED: context/Dockerfile:8: ", ...words]) expect(stderr).toContain(one)
      expect(await box.instances("--all")).toEqual([])
    }
    // What is to be refused is asked for by what reaches something else.
    const listens = "busybox netstat -lnt | busybox grep -q :8 "
    const reach = `echo heard | nc -l -p 8 & until ${listens}; do sleep 1; done; nc -w 5 127.0.0.1 8 </dev/null; set -- $(ip route); echo asks $3; nc -w 5 $3 ${host.port} </dev/null`
    const full = "dd if=/dev/zero of=/full bs=1M"
    await failed(
      `${reach}; ${full}`,
      "\nheard\n",
      "\nasks 192.",
      "\nnc: timed out\n",
      "No space left on device",
      "it ended with status 1",
    )
    await failed("reboot -f; sleep 1000")
    const owned = await build(`${first}COPY --chown=who page /\n`, ...small)
    expect([owned.status, owned.stderr]).toEqual([
      8,
      expect.stringContaining("context/Dockerfile:8: /etc/passwd: there is no user who in the machine"),
    ])
  })

  test("of an archive, or with no step, is the machine that an import of it makes [OVMS-BLD-040, OVMS-BLD-044, OVMS-BLD-057, OVMS-IMP-081]", async () => {
    const disk = async (name: string) => (await box.json(["inspect", name])).layers
    await box.ok(["import", "layout", "-t", "imported:1", "--kernel-from", "demo:1"])
    const { annotations } = await box.json(["inspect", "imported:1"])
    expect(JSON.parse(annotations["ovms.settings"])).toEqual(config)
    expect((await build("FROM base", "--build-context", "base=docker.tar")).status).toBe(0)
    expect(await disk("made:1")).toEqual(await disk("imported:1"))
    expect((await build("FROM imported:1\nLABEL a=b")).status).toBe(0)
    expect(JSON.parse((await box.json(["inspect", "made:1"])).annotations["ovms.settings"])).toEqual({
      ...config,
      Labels: { a: "b" },
    })
    expect((await build("FROM scratch\nLABEL a=b")).status).toBe(0)
    const { annotations: said } = await box.json(["inspect", "made:1"])
    expect(said["ovms.settings"]).toBe(JSON.stringify({ Labels: { a: "b" } }))
    expect(said["org.opencontainers.image.base.digest"]).toBeUndefined()
  })

  test.skipIf(!Bun.which("skopeo") || Boolean(registryMissing))(
    "is the same from a registry, by a digest of its index [OVMS-BLD-040, OVMS-BLD-044]",
    async () => {
      await using registry = await startRegistry()
      const name = `${registry.host}/web`
      const copied = await box.shell(
        `skopeo copy -q --all --preserve-digests --dest-tls-verify=false oci:layout docker://${name}:1 && skopeo inspect --raw --tls-verify=false docker://${name}:1 | sha256sum`,
      )
      expect([copied.status, copied.stderr]).toEqual([0, ""])
      const pinned = `${name}:1@sha256:${copied.stdout.slice(0, 64)}`
      expect((await build("FROM base", ...inLayout)).status).toBe(0)
      const said = await build(`FROM ${pinned}\nLABEL a=b`, "--plain-http")
      // It is known by the digest of its manifest.
      expect([said.status, said.stderr]).toEqual([0, ""])
      const { annotations } = await box.json(["inspect", "made:1"])
      expect(annotations).toMatchObject({
        "org.opencontainers.image.base.digest": image,
        "org.opencontainers.image.base.name": expect.stringContaining(name),
        a: "b",
      })
    },
  )

  const cosign = findPeer("cosign")
  test.skipIf(!cosign || !Bun.which("skopeo") || Boolean(registryMissing))(
    "is refused before anything is done where a policy asks for a signature, and it has none that counts [OVMS-BLD-058]",
    async () => {
      await using registry = await startRegistry()
      const name = `${registry.host}/signed/web`
      const host = async (words: string) => {
        const { status, stderr } = await box.shell(`export COSIGN_PASSWORD=x; ${words}`)
        expect([words, status, stderr]).toEqual([words, 0, expect.any(String)])
      }
      for (const who of ["ours", "theirs"])
        await host(`${cosign} generate-key-pair --output-key-prefix ${who}`)
      await host(
        `skopeo copy -q --all --preserve-digests --dest-tls-verify=false oci:layout docker://${name}:1`,
      )
      const signed = { requirements: [{ type: "signed", keys: [{ path: box.path("ours.pub") }] }] }
      const digestOnly = { requirements: [{ type: "digestOnly" }] }
      const policy = async (local: object) =>
        await writeFile(
          join(box.home, "policy.json"),
          JSON.stringify({ schemaVersion: 1, default: signed, local }),
        )
      await policy(digestOnly)
      const from = async (image = `${name}:1`, ...words: string[]) =>
        await build(`FROM ${image}\nLABEL signed=yes`, "--plain-http", ...words)
      const refusal = async () => JSON.parse((await from(`${name}:1`, "--json")).stderr).errors[0]
      expect(await refusal()).toMatchObject({
        code: "OVM_POLICY_REFUSED",
        message: expect.stringContaining("there is no signature"),
      })
      const by = (key: string) =>
        `${cosign} sign -y --use-signing-config=false --tlog-upload=false --allow-http-registry --key ${key}.key`
      const index = `$(skopeo inspect --raw --tls-verify=false docker://${name}:1 | sha256sum | cut -c1-64)`
      await host(`${by("theirs")} ${name}@sha256:${index}`)
      expect((await refusal()).message).toContain("no signature that counts")
      await host(`${by("ours")} ${name}@sha256:${index}`)
      const said = await from()
      expect(said).toMatchObject({ status: 0, stderr: expect.not.stringContaining("error") })
      // Of a file what is said of local names.
      expect((await from("base", ...inLayout)).status).toBe(0)
      await policy(signed)
      expect((await from("base", ...inLayout)).stderr).toContain("OVM_POLICY_REFUSED")
      await rm(join(box.home, "policy.json"))
    },
  )
})
