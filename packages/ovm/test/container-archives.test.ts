import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { cp, readFile, rename, rm } from "node:fs/promises"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { type LayerEntry, layerOf, oldDockerArchive, writeContainer } from "@ovms/testkit/container.ts"
import { UNPACKED } from "@ovms/testkit/machines.ts"
import { ForeignLayout, type Part } from "./foreign-image.testing.ts"
import { Sandbox } from "./sandbox.ts"

// Container images as programs of every age hand them on, and which of several is meant.

setDefaultTimeout(240_000)

const skip = existsSync(UNPACKED) ? "" : `there is no ${UNPACKED}; make machine`
if (skip) console.log(`SKIP packages/ovm/test/container-archives.test.ts: ${skip}`)

const layer = (name: string) => ({ tar: layerOf([{ name: `srv/${name}`, content: name }]) })
const ONE = [layer("one"), layer("two")]
const TWO = [...ONE, layer("three")]
const DOCKER = "application/vnd.docker"

describe.skipIf(Boolean(skip))("container images in archives and indexes", () => {
  let box: Sandbox
  let images = 0
  const args = (source: string) => ["import", source, "-t", "m:1", "--kernel-from", "demo:1"]
  /** The digest of the disk of the machine that it becomes. */
  const diskOf = async (source: string): Promise<string> => {
    await box.json(args(source))
    return (await box.json(["inspect", "m:1"])).layers[0].digest
  }
  const disks: Record<"one" | "two", string> = { one: "", two: "" }
  const layout = () => new ForeignLayout(box.path(`layout${images++}`))

  beforeAll(async () => {
    box = await Sandbox.create()
    await box.ok(["pack", "-f", UNPACKED, "-t", "demo:1"])
    await writeContainer(box.path("one"), ONE, {})
    await writeContainer(box.path("two"), TWO, {})
    disks.one = await diskOf("./one")
    disks.two = await diskOf("./two")
    expect(disks.one).not.toBe(disks.two)
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  test("docker save of 1.10 to 24 has a link for a layer that is there, and several images [OVMS-IMP-084, OVMS-IMP-085]", async () => {
    const both = [
      { layers: ONE, config: {}, names: ["web:1"] },
      { layers: TWO, config: {}, names: ["web:2", "registry.example:5000/team/web:latest"] },
      { layers: [layer("four")], config: {}, names: [] },
    ]
    await box.file("both.tar", oldDockerArchive(both))
    expect((await box.shell("tar tvf both.tar | grep -- ' -> \\.\\./'")).stdout).not.toBe("")
    expect(await diskOf("both.tar:web:1")).toBe(disks.one)
    for (const name of ["web:2", "docker.io/library/web:2", "registry.example:5000/team/web", "@1"])
      expect([name, await diskOf(`docker-archive:both.tar:${name}`)]).toEqual([name, disks.two])
    // As somebody packs it who has looked at it.
    const again = await box.shell("mkdir out && tar xf both.tar -C out && tar cf again.tar -C out .")
    expect([again.status, again.stderr]).toEqual([0, ""])
    expect(await diskOf("again.tar:web:2")).toBe(disks.two)
    const several = await box.fails(args("both.tar"), "OVM_ARTIFACT_INVALID", ["both.tar: it has 3 images"])
    expect(several.stderr).toContain("both.tar:web:1")
    for (const name of ["web:3", "@3"])
      await box.fails(args(`both.tar:${name}`), "OVM_NAME_UNKNOWN", [`${name} is not in both.tar`])
    await box.file("alone.tar", oldDockerArchive([{ layers: TWO, config: {}, names: [] }]))
    expect(await diskOf("alone.tar")).toBe(disks.two)
  })

  test("a folder as skopeo's dir: and podman's docker-dir is taken, and what an engine keeps is not [OVMS-IMP-087]", async () => {
    const { manifests } = JSON.parse(await readFile(box.path("one/index.json"), "utf8"))
    const hex = manifests[0].digest.slice(7)
    const flat = async (name: string) => {
      await cp(box.path("one/blobs/sha256"), box.path(name), { recursive: true })
      await rename(box.path(`${name}/${hex}`), box.path(`${name}/manifest.json`))
      await box.file(`${name}/version`, "Directory Transport Version: 1.1\n")
      return name
    }
    for (const source of [`./${await flat("flat")}`, "dir:flat"])
      expect([source, await diskOf(source)]).toEqual([source, disks.one])
    const { config, layers } = JSON.parse(await readFile(box.path("flat/manifest.json"), "utf8"))
    await rm(box.path(`${await flat("lost")}/${layers[1].digest.slice(7)}`))
    await box.fails(args("dir:lost"), "OVM_CONTENT_MISSING", [layers[1].digest, "lost"])
    await box.file(`${await flat("changed")}/${config.digest.slice(7)}`, "{}")
    await box.fails(args("dir:changed"), "OVM_SIZE_MISMATCH", [config.digest.slice(7)])
    await box.file(`${await flat("text")}/manifest.json`, "{")
    await box.fails(args("./text"), "OVM_ARTIFACT_INVALID", ["text/manifest.json"])
    await rm(box.path(`${await flat("none")}/manifest.json`))
    await box.fails(args("./none"), "OVM_FILE_UNREADABLE", ["none/manifest.json"])
    await box.file(`${await flat("later")}/version`, "Directory Transport Version: 2.0\n")
    await box.fails(args("./later"), "OVM_FILE_UNREADABLE", ["later"])
    await box.fails(args("docker-daemon:web:1"), "OVM_UNSUPPORTED", ["hint: docker save -o image.tar web:1;"])
    await box.fails(args("containers-storage:web"), "OVM_UNSUPPORTED", [
      "hint: podman save -o image.tar web;",
    ])
  })

  test("links in an archive stay in it, and end [OVMS-IMP-084]", async () => {
    const archive = (links: Readonly<Record<string, string>>) => {
      const config = { os: "linux", architecture: "amd64", rootfs: { diff_ids: [] } }
      const manifest = [{ Config: "config", RepoTags: null, Layers: null }]
      const entries: LayerEntry[] = Object.entries(links).map(([name, link]) => ({ name, type: "2", link }))
      const files = { "a/file": JSON.stringify(config), "manifest.json": JSON.stringify(manifest) }
      return layerOf([...entries, ...Object.entries(files).map(([name, content]) => ({ name, content }))])
    }
    await box.file(
      "good.tar",
      archive({ config: "b/c/link", "b/c/link": "../../a/next", "a/next": "./file" }),
    )
    await diskOf("good.tar")
    const long = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`l${at}`, `l${at + 1}`]))
    for (const [links, reason] of [
      [{ config: "/etc/passwd" }, "leads out of it"],
      [{ config: "a/../../a/file" }, "leads out of it"],
      [{ config: ".." }, "leads out of it"],
      [{ config: "a/nothing" }, "leads to nothing in it"],
      [{ config: "b", b: "config" }, "through more than 8 links"],
      [{ config: "l0", ...long, l9: "a/file" }, "through more than 8 links"],
      [{}, "is not in it"],
    ] as const) {
      await box.file("bad.tar", archive(links))
      await box.fails(args("bad.tar"), "OVM_ARTIFACT_INVALID", ["bad.tar", '"config"', reason])
    }
  })

  test("an archive of Docker before 1.10 is refused, and how to have another one said [OVMS-IMP-084]", async () => {
    const id = "a".repeat(64)
    const files = { repositories: `{"web":{"1":"${id}"}}`, [`${id}/json`]: "{}", [`${id}/VERSION`]: "1.0" }
    await box.file("old.tar", layerOf(Object.entries(files).map(([name, content]) => ({ name, content }))))
    const said = await box.fails(args("old.tar"), "OVM_UNSUPPORTED", ["old.tar", "manifest.json", "1.10"])
    expect(said.stderr).toContain("docker save")
  })

  test("names of several images of a layout, and of Docker with containerd [OVMS-IMP-085]", async () => {
    const several = layout()
    const image = (layers: typeof ONE, annotations: object) => ({
      ...manifestOf(several, layers),
      annotations,
    })
    const named = (tag: string, full?: string) => ({
      "org.opencontainers.image.ref.name": tag,
      ...(full && { "io.containerd.image.name": full }),
    })
    several.list([
      image(ONE, named("1", "docker.io/library/web:1")),
      image(TWO, named("1", "registry.example/team/web:1")),
      image(TWO, named("other")),
    ])
    const at = several.root
    expect(await diskOf(`${at}:web:1`)).toBe(disks.one)
    expect(await diskOf(`${at}:registry.example/team/web:1`)).toBe(disks.two)
    expect(await diskOf(`oci:${at}:other`)).toBe(disks.two)
    await box.shell(`tar cf several.tar -C ${at} .`)
    expect(await diskOf("several.tar:web:1")).toBe(disks.one)
    await box.fails(args(`${at}:1`), "OVM_ARTIFACT_INVALID", ["2 artifacts, not one"])
    await box.fails(args(at), "OVM_ARTIFACT_INVALID", ["2 artifacts, not one"])
    await box.fails(args(`${at}:web:3`), "OVM_NAME_UNKNOWN", ["web:3"])
    // Without names there are digests.
    const plain = layout()
    const digests = [manifestOf(plain, ONE), manifestOf(plain, TWO)]
    plain.list(digests)
    const said = await box.fails(args(plain.root), "OVM_ARTIFACT_INVALID", ["2 artifacts, not one"])
    expect(said.stderr).toContain(`${plain.root}:${digests[0]?.digest}`)
    expect(await diskOf(`${plain.root}:${digests[1]?.digest}`)).toBe(disks.two)
  })

  test("an entry of an index without a platform is for what its config says [OVMS-IMP-040]", async () => {
    const made = layout()
    const one = manifestOf(made, ONE)
    const two = manifestOf(made, TWO)
    const arm = manifestOf(made, TWO, { architecture: "arm64" })
    const platform = (os: string, architecture: string) => ({ platform: { os, architecture } })
    const unknown = { ...two, ...platform("unknown", "unknown") }
    const of = (...entries: readonly Part[]) => diskOf(made.only(made.index(entries)))
    expect(await of(one)).toBe(disks.one)
    expect(await of(arm, unknown, one)).toBe(disks.one)
    // One that says it goes before others, wherever it stands.
    expect(await of(one, { ...two, ...platform("linux", "amd64") })).toBe(disks.two)
    expect(await of({ ...one, platform: null }, unknown)).toBe(disks.one)
    for (const entries of [[arm, unknown], [unknown], []])
      await box.fails(args(made.only(made.index(entries))), "OVM_UNSUPPORTED", ["linux/amd64"])
  })

  test("types of Docker's, whatever compresses layers, empty ones, and those that are elsewhere [OVMS-IMP-040, OVMS-IMP-041]", async () => {
    const made = layout()
    const empty = layerOf([])
    const tars = [...TWO.map(({ tar }) => tar), empty, Buffer.alloc(0)]
    const types = ["gzip", "zstd", "gzip", "gzip", "zstd"]
    const half = (tar: Buffer) => [tar.subarray(0, 700), tar.subarray(700)]
    // The first in two members, the second in two frames with a skippable one behind: as eStargz and zstd:chunked.
    const skippable = Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0]), Buffer.alloc(3)])
    const packed = tars.map((tar, at) =>
      types[at] === "zstd"
        ? Buffer.concat([...half(tar).map((part) => zstdCompressSync(part)), skippable])
        : Buffer.concat(half(tar).map((part) => gzipSync(part))),
    )
    const layers = packed.map((bytes, at) => made.blob(`${DOCKER}.image.rootfs.diff.tar.${types[at]}`, bytes))
    const config = made.blob(`${DOCKER}.container.image.v1+json`, configOf(tars))
    const mediaType = `${DOCKER}.distribution.manifest.v2+json`
    const manifest = made.blob(mediaType, { schemaVersion: 2, mediaType, config, layers })
    const indexType = `${DOCKER}.distribution.manifest.list.v2+json`
    const list = made.blob(indexType, { schemaVersion: 2, mediaType: indexType, manifests: [manifest] })
    await diskOf(made.only(list))
    const files = await box.json(["inspect", "m:1"])
    expect(files.annotations["org.ovms.import.layers"]?.split(",")).toEqual(
      layers.map(({ digest }) => digest),
    )
    const foreign = {
      mediaType: `${DOCKER}.image.rootfs.foreign.diff.tar.gzip`,
      digest: `sha256:${"0".repeat(64)}`,
      size: 10,
      urls: ["http://127.0.0.1:1/layer"],
    }
    const short = made.blob(`${DOCKER}.container.image.v1+json`, configOf([empty]))
    const alone = made.blob(mediaType, { schemaVersion: 2, mediaType, config: short, layers: [foreign] })
    await box.fails(args(made.only(alone)), "OVM_CONTENT_MISSING", [foreign.digest])
  })

  function configOf(tars: readonly Buffer[], more: object = {}): object {
    const diff_ids = tars.map((tar) => `sha256:${new Bun.CryptoHasher("sha256").update(tar).digest("hex")}`)
    return { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids }, config: {}, ...more }
  }

  function manifestOf(into: ForeignLayout, layers: typeof ONE, more: object = {}): Part {
    const tars = layers.map(({ tar }) => tar)
    return into.manifest({
      config: into.blob("application/vnd.oci.image.config.v1+json", configOf(tars, more)),
      layers: tars.map((tar) => into.blob("application/vnd.oci.image.layer.v1.tar", tar)),
    })
  }
})
