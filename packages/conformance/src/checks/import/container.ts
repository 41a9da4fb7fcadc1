import { rename, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { gzipSync } from "node:zlib"
import { type Check, must } from "../../check.ts"
import { type ContainerChanges, containerIn, dockerArchiveOf } from "../../foreign/container.ts"
import { ForeignLayout } from "../../foreign/layout.ts"
import { archiveOf, type TarEntry } from "../../foreign/tar.ts"
import { digestOf } from "../../registry/content.ts"
import { Registry } from "../../registry/server.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { bootFolder, containerOf, importedContainer, refusesContainer } from "./container-stage.ts"
import { bench, file, imported, newLayout, refuses } from "./stage.ts"

const LAYERS: readonly (readonly TarEntry[])[] = [
  [{ name: "srv/one", content: "one" }],
  [{ name: "srv/two", content: "two" }],
]
const CONFIG = {
  Entrypoint: ["/bin/main", "first"],
  Cmd: ["two words", ""],
  Env: ["PATH=/bin", "GREETING=hello there"],
  User: "web",
  WorkingDir: "/srv",
  ExposedPorts: { "80/tcp": {}, "53/udp": {} },
  Labels: { note: "a label" },
}
const GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"

/** Refused for its layers or config. */
function refused(
  name: string,
  [id, code]: readonly [id: string, code: string],
  images: Readonly<Record<string, ContainerChanges>>,
): Check<Wrapper> {
  return bench(`import/container/refuses-${name}`, [id], async (bench) => {
    for (const changes of Object.values(images)) await refusesContainer(bench, [LAYERS, code], changes)
  })
}

export const containerImports: readonly Check<Wrapper>[] = [
  bench("import/container/of-an-index", ["OVMS-IMP-040"], async (bench) => {
    const layout = new ForeignLayout(newLayout(bench))
    const platform = (os: string, architecture: string) => ({ platform: { os, architecture } })
    const image = (words: string, more = {}) =>
      containerIn(layout, [[{ name: "which", content: words }]], { more })
    const entries = [
      { ...image("windows"), ...platform("windows", "amd64") },
      { ...image("arm64"), ...platform("linux", "arm64") },
      { ...image("this"), ...platform("linux", "amd64") },
    ]
    // Their configs say what they are for.
    const unsaid = [image("unsaid arm64", { architecture: "arm64" }), image("unsaid"), image("a later one")]
    for (const [wanted, among] of [
      ["this", entries],
      ["this", [...unsaid, ...entries]],
      ["unsaid", [...entries.slice(0, 2), ...unsaid]],
    ] as const) {
      const { files } = await importedContainer(bench, layout.only(layout.index(among)))
      const which = files.at("/which").content().toString()
      must(which === wanted, `of the index it took the image for ${which}, and not ${wanted}`)
    }
    const boot = await bootFolder(bench)
    for (const wrong of [entries.slice(0, 2), [layout.index(entries)], unsaid.slice(0, 1)])
      await refuses(bench, [layout.only(layout.index(wrong)), "OVM_UNSUPPORTED"], { boot })
  }),
  refused("another-platform", ["OVMS-IMP-040", "OVM_UNSUPPORTED"], {
    architecture: { more: { architecture: "arm64" } },
    system: { more: { os: "windows" } },
    layers: { layerType: "application/vnd.example.layer" },
  }),
  bench("import/container/layers-are-what-they-say", ["OVMS-IMP-041"], async (bench) => {
    // Called by another compression than it has.
    for (const changes of [{ layerType: GZIP }, { packed: gzipSync }])
      (await importedContainer(bench, containerOf(bench, LAYERS, changes))).files.at("/srv/two")
    const lies = { packed: (tar: Buffer) => Buffer.concat([tar, Buffer.alloc(512)]) }
    await refusesContainer(bench, [LAYERS, "OVM_DIGEST_MISMATCH"], lies)
  }),
  bench("import/container/same-digest", ["OVMS-IMP-048"], async (bench) => {
    const digests = new Set<string>()
    for (const env of [{ SOURCE_DATE_EPOCH: "1735689600" }, { SOURCE_DATE_EPOCH: "1735689600" }]) {
      const { machine } = await importedContainer(bench, containerOf(bench, LAYERS, { config: CONFIG }), {
        env,
      })
      digests.add(machine.read.digest)
      // The clock goes on to another second, which nothing of it may have.
      await new Promise((resolve) => setTimeout(resolve, 1100))
    }
    must(digests.size === 1, "the same image became another machine the second time")
  }),
  bench("import/container/how-it-boots", ["OVMS-IMP-049", "OVMS-IMP-054", "OVMS-CNF-033"], async (bench) => {
    const { machine, files } = await importedContainer(bench, containerOf(bench, LAYERS))
    const words = (machine.manifest.kernel?.args ?? "").split(" ")
    for (const word of ["root=/dev/vda", "rw", "init=/etc/ovm/init"])
      must(words.includes(word), `the kernel's arguments have no ${word}`)
    const init = files.at("/sbin/init")
    must(
      init.mode >> 12 === 10 && /etc\/ovm\/init$/.test(`${init.content()}`),
      "/sbin/init is no link to /etc/ovm/init",
    )
    must(files.at("/etc/ovm/init").mode & 0o100, "/etc/ovm/init cannot be executed")
    must(
      /127\.0\.0\.1\s+.*\blocalhost\b/.test(`${files.at("/etc/hosts").content()}`),
      "/etc/hosts has no localhost",
    )
    must(machine.manifest.agent, "the manifest has no agent")
    const own: readonly TarEntry[] = [
      { name: "sbin/init", content: "its own" },
      { name: "etc/hosts", content: "its own hosts" },
    ]
    const other = await importedContainer(bench, containerOf(bench, [own]))
    for (const { name, content } of own)
      must(
        `${other.files.at(`/${name}`).content()}` === content,
        `/${name} of the image is another one by now`,
      )
  }),
  bench("import/container/main", ["OVMS-IMP-050"], async (bench) => {
    const mainOf = async (config: object) => {
      const { files } = await importedContainer(bench, containerOf(bench, LAYERS, { config }))
      return files.at("/etc/ovm/main").content().toString()
    }
    const wanted = [
      "exec",
      "argument=/bin/main",
      "argument=first",
      "argument=two words",
      "argument=",
      "variable=PATH=/bin",
      "variable=GREETING=hello there",
      "user=web",
      "directory=/srv",
    ]
    const said = await mainOf(CONFIG)
    must(said === wanted.map((text) => `${text}\0`).join(""), `/etc/ovm/main is ${JSON.stringify(said)}`)
    const bare = await mainOf({ Cmd: ["/bin/sh"] })
    must(bare === "exec\0argument=/bin/sh\0directory=/\0", `/etc/ovm/main is ${JSON.stringify(bare)}`)
    must((await mainOf({})) === "", "an image that names no program has something in /etc/ovm/main")
    const long = { config: { Cmd: ["/bin/sh", "x".repeat(1 << 20)] } }
    await refusesContainer(bench, [LAYERS, "OVM_TOO_LARGE"], long)
  }),
  bench("import/container/ports", ["OVMS-IMP-052"], async (bench) => {
    const { machine } = await importedContainer(bench, containerOf(bench, LAYERS, { config: CONFIG }))
    const ports = (machine.manifest.network?.[0]?.ports ?? []).map(
      ({ guest, protocol = "tcp" }: { guest: number; protocol?: string }) => `${guest}/${protocol}`,
    )
    must(ports.sort().join() === "53/udp,80/tcp", `the machine offers ${ports}`)
    const many = Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`${at + 1}/tcp`, {}]))
    for (const ExposedPorts of [{ "80/sctp": {} }, { "0/tcp": {} }, many])
      await refusesContainer(bench, [LAYERS, "OVM_UNSUPPORTED"], { config: { ExposedPorts } })
  }),
  bench("import/container/where-it-is-from", ["OVMS-IMP-053", "OVMS-IMP-081"], async (bench) => {
    const layout = new ForeignLayout(newLayout(bench))
    const many = Array.from({ length: 51 }, (_, at) => [{ name: `file${at}`, content: `${at}` }])
    const image = containerIn(layout, many, { config: CONFIG })
    const { machine } = await importedContainer(bench, layout.only(image))
    const notes = machine.read.oci.annotations ?? {}
    must(
      notes["org.opencontainers.image.base.digest"] === image.digest,
      "the image's digest is not that of the base",
    )
    const layers = [notes["org.ovms.import.layers"] ?? "", notes["org.ovms.import.layers.1"] ?? ""]
    const counts = layers.map((text) => text.split(",").length)
    must(counts.join() === "50,1", `the annotations name ${counts} layers, and not 50 and 1`)
    must(layers.join(",") === layersOf(many).join(), "the annotations name other layers, or in another order")
    const settings = JSON.parse(notes["ovms.settings"] ?? "{}")
    for (const [name, value] of Object.entries(CONFIG))
      must(isDeepStrictEqual(settings[name], value), `ovms.settings has another ${name}`)
  }),
  bench("import/container/from-a-registry", ["OVMS-IMP-053"], async (bench) => {
    const layout = new ForeignLayout(newLayout(bench))
    const image = containerIn(layout, LAYERS)
    await using registry = await Registry.start()
    await layout.into(registry.repository, image, "1")
    const { machine, files } = await importedContainer(bench, `docker://${registry.reference("1")}`)
    const notes = machine.read.oci.annotations ?? {}
    const [name, digest] = ["name", "digest"].map((part) => notes[`org.opencontainers.image.base.${part}`])
    must(
      name === registry.reference("1"),
      `the base has the name ${name}, and not ${registry.reference("1")}`,
    )
    must(digest === image.digest, "the base has another digest than the image")
    must(`${files.at("/srv/two").content()}` === "two", "a layer of the image is not in the machine")
  }),
  bench("import/container/docker-archive", ["OVMS-IMP-053", "OVMS-IMP-042"], async (bench) => {
    const bytes = dockerArchiveOf(LAYERS, CONFIG)
    const { machine, files } = await importedContainer(bench, await file(bench, "docker.tar", bytes))
    must(`${files.at("/srv/two").content()}` === "two", "a layer of the archive is not in the machine")
    const from = machine.read.oci.annotations?.["org.opencontainers.image.base.digest"]
    const at = bytes.indexOf('{"os":"linux"')
    const config = bytes.subarray(at, bytes.indexOf(0, at))
    must(from === digestOf(config), "the base is not said by the digest of the config")
  }),
  bench("import/container/docker-archive-links", ["OVMS-IMP-084"], async (bench) => {
    const shared = { name: "shared/layer.tar", content: archiveOf(LAYERS[1] ?? []) }
    const further = { name: "further", type: "2", link: "shared/layer.tar" }
    const more = [shared, further]
    for (const link of ["../shared/layer.tar", "../further"]) {
      const bytes = dockerArchiveOf(LAYERS, CONFIG, { link, more })
      const { files } = await importedContainer(bench, await file(bench, "linked.tar", bytes))
      must(`${files.at("/srv/two").content()}` === "two", `the layer behind ${link} is not in the machine`)
    }
    const boot = await bootFolder(bench)
    const round = [{ name: "round", type: "2", link: "layer-1/layer.tar" }]
    for (const [link, others] of [
      ["/etc/hostname", more],
      ["../../shared/layer.tar", more],
      ["../nothing", more],
      ["../round", round],
    ] as const) {
      const source = await file(bench, "bad.tar", dockerArchiveOf(LAYERS, CONFIG, { link, more: others }))
      await refuses(bench, [source, "OVM_ARTIFACT_INVALID"], { boot })
    }
    const old = archiveOf([{ name: "repositories", content: "{}" }, shared])
    await refuses(bench, [await file(bench, "old.tar", old), "OVM_UNSUPPORTED"], { boot })
  }),
  bench("import/container/of-several", ["OVMS-IMP-085"], async (bench) => {
    const boot = await bootFolder(bench)
    const both = await file(bench, "both.tar", dockerArchiveOf(LAYERS, CONFIG, { times: 2 }))
    const layout = new ForeignLayout(newLayout(bench))
    layout.only(containerIn(layout, LAYERS), containerIn(layout, LAYERS.slice(1)))
    for (const source of [both, layout.root]) await refuses(bench, [source, "OVM_ARTIFACT_INVALID"], { boot })
  }),
  bench("import/container/in-a-folder", ["OVMS-IMP-087"], async (bench) => {
    const flat = async (change: (folder: string) => Promise<unknown> = async () => {}) => {
      const layout = new ForeignLayout(newLayout(bench))
      const { digest } = containerIn(layout, LAYERS)
      const folder = join(layout.root, "blobs/sha256")
      await rename(join(folder, digest.slice(7)), join(folder, "manifest.json"))
      await writeFile(join(folder, "version"), "Directory Transport Version: 1.1\n")
      await change(folder)
      return folder
    }
    const { files } = await importedContainer(bench, await flat())
    must(`${files.at("/srv/two").content()}` === "two", "a layer of the folder is not in the machine")
    const boot = await bootFolder(bench)
    const bad = await flat((folder) => writeFile(join(folder, "manifest.json"), "{"))
    await refuses(bench, [bad, "OVM_ARTIFACT_INVALID"], { boot })
  }),
  bench("import/container/needs-a-type", ["OVMS-IMP-040"], async (bench) => {
    const boot = await bootFolder(bench)
    for (const config of [{ rootfs: { diff_ids: "none" } }, [1]]) {
      const layout = new ForeignLayout(newLayout(bench))
      const described = layout.blob("application/vnd.oci.image.config.v1+json", config)
      const layers = [layout.blob("application/vnd.oci.image.layer.v1.tar", Buffer.alloc(1024))]
      const source = layout.only(layout.manifest({ config: described, layers }))
      await refuses(bench, [source, "OVM_ARTIFACT_INVALID"], { boot })
    }
    await imported(bench, containerOf(bench, LAYERS), { boot })
  }),
]

function layersOf(layers: readonly (readonly TarEntry[])[]): readonly string[] {
  return layers.map((entries) => digestOf(archiveOf(entries)))
}
