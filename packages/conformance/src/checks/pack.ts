import { mkdir, utimes, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import schema from "@ovms/spec/schema/manifest.v1.json" with { type: "json" }
import { type ReadLayout, readLayout } from "../artifact/layout.ts"
import { OCI_MANIFEST, OVMS_MANIFEST } from "../artifact/make.ts"
import { type Check, type CheckCall, must } from "../check.ts"
import { type Descriptor, digestOf, type Manifest } from "../registry/content.ts"
import type { Wrapper, WrapperCall } from "../subject/wrapper.ts"
import { tarOf } from "./foreign.ts"
import { type Files, GOOD, manifestOf, RICH, RICHER, type Source } from "./pack-sources.ts"

const TAR = "application/vnd.oci.image.layer.v1.tar"
const TITLE = "org.opencontainers.image.title"

/** Packs `files` into a layout; its code if it was refused. */
export async function pack(
  wrapper: Wrapper,
  call: CheckCall & Pick<WrapperCall, "env">,
  files: Files,
  layout = "layout",
) {
  for (const [name, content] of Object.entries(files))
    await writeFile(
      join(call.folder, name),
      content instanceof Uint8Array ? content : JSON.stringify(content),
    )
  const into = join(call.folder, layout)
  const { code, stderr } = await wrapper.call("pack", [join(call.folder, "source"), into], call)
  return { code, stderr, into }
}

async function packed(
  wrapper: Wrapper,
  call: CheckCall & Pick<WrapperCall, "env">,
  files = GOOD,
  layout?: string,
): Promise<ReadLayout> {
  const { code, stderr, into } = await pack(wrapper, call, files, layout)
  must(code === undefined, `the pack ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  return await readLayout(into)
}

/** What was packed of the rich one, once for all that is looked at. */
interface Packed {
  readonly bytes: Buffer
  readonly oci: Manifest
  readonly config: Buffer
}
const once = new WeakMap<Wrapper, Promise<Packed>>()

async function packedWhole(wrapper: Wrapper, call: CheckCall, files: Files): Promise<Packed> {
  const { bytes, oci, blob } = await packed(wrapper, call, files)
  must(oci.config, "there is no config")
  return { bytes, oci, config: await blob(oci.config) }
}

type Look = (packed: Packed, layers: readonly Descriptor[]) => void

const looks: readonly (readonly [string, readonly string[], Look])[] = [
  [
    "written-form",
    ["OVMS-OCI-050", "OVMS-OCI-015", "OVMS-OCI-070"],
    ({ oci, bytes }) => {
      must(oci.artifactType === OVMS_MANIFEST, `artifactType is ${oci.artifactType}`)
      must(oci.mediaType === OCI_MANIFEST, `the OCI manifest's mediaType is ${oci.mediaType}`)
      must(oci.config?.mediaType === OVMS_MANIFEST, `the config's mediaType is ${oci.config?.mediaType}`)
      must(!/vnd\.[a-z0-9-]+\.ovms\./.test(bytes.toString()), "it wrote an alias of a media type")
    },
  ],
  [
    "disk-layers",
    ["OVMS-OCI-052", "OVMS-SRC-007"],
    (_, layers) => {
      const formats = layers.flatMap(({ annotations }) => annotations?.["ovms.format"] ?? [])
      must(formats.join() === "raw,qcow2", `the formats of the disks are ${formats}`)
      for (const { annotations, mediaType } of layers)
        must(mediaType === TAR || !annotations?.["ovms.format"], `a disk has the type ${mediaType}`)
    },
  ],
  [
    "titles",
    ["OVMS-OCI-053", "OVMS-OCI-040"],
    (_, layers) => {
      const titles = layers.map(({ annotations }) => annotations?.[TITLE] ?? "")
      must(
        titles.every((title) => /^[^/\\]+$/.test(title)),
        `a title is missing or strange: ${titles}`,
      )
      must(new Set(titles).size === titles.length, `two titles are alike: ${titles}`)
    },
  ],
  [
    "order",
    ["OVMS-SRC-016", "OVMS-OCI-031"],
    (_, layers) => {
      ordered(layers, RICH, ["base.raw", "upper"])
    },
  ],
  [
    "manifest",
    ["OVMS-OCI-051", "OVMS-SRC-017", "OVMS-SRC-025", "OVMS-OCI-030", "OVMS-OCI-032", "OVMS-VER-002"],
    ({ config, oci }) => {
      const document = JSON.parse(config.toString())
      const surplus = Object.keys(document).filter((name) => !(name in schema.properties))
      must(surplus.length === 0, `it wrote members of its own: ${surplus.join(", ")}`)
      must(document.os === "linux" && document.architecture === "amd64", "os or architecture is missing")
      saysWhat(RICH, document)
      const { annotations } = RICH.source as { annotations: object }
      must(
        isDeepStrictEqual({ ...oci.annotations, ...annotations }, { ...oci.annotations }),
        "the annotations of the source are not on the OCI manifest",
      )
    },
  ],
  [
    "canonical",
    ["OVMS-SRC-015"],
    ({ bytes, config }) => {
      for (const document of [bytes, config])
        must(
          document.toString() === sorted(JSON.parse(document.toString())),
          "a document is not as RFC 8785 says",
        )
    },
  ],
  [
    "without-a-time",
    ["OVMS-SRC-013"],
    ({ bytes }) => must(!bytes.includes("image.created"), "it has a time of creation, which nobody gave it"),
  ],
]

/** As RFC 8785 writes what has no fractions. */
function sorted(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${sorted(member)}`).join()}}`
}

/** Fails unless the layers are kernel, initrd, these disks and, where there are some, variables of firmware. */
function ordered(layers: readonly Descriptor[], files: Files, disks: readonly string[]): void {
  const wanted = [
    ["application/vnd.ovms.kernel.v1", "vmlinuz"],
    ["application/vnd.ovms.initrd.v1", "initrd"],
    ...disks.map((name) => [TAR, name]),
    ...("variables" in files ? [["application/vnd.ovms.firmware-variables.v1", "variables"]] : []),
  ].map(([type, name = ""]) => `${type} ${digestOf(files[name] as Uint8Array)}`)
  const found = layers.map(({ mediaType, digest }) => `${mediaType} ${digest}`)
  must(found.join() === wanted.join(), `the layers are ${found.join(", ")}`)
}

/** Fails unless the manifest says all that the source does. */
function saysWhat(files: Files, document: Readonly<Record<string, unknown>>): void {
  for (const [name, member] of Object.entries(manifestOf(files)))
    must(
      isDeepStrictEqual(document[name], member),
      `${name} is ${JSON.stringify(document[name])}, and not ${JSON.stringify(member)}`,
    )
}

export const packChecks: readonly Check<Wrapper>[] = [
  ...looks.map(
    ([name, covers, look]): Check<Wrapper> => ({
      name: `pack/${name}`,
      profile: "core",
      covers,
      async run(wrapper, call) {
        const made = once.get(wrapper) ?? packedWhole(wrapper, call, RICH)
        once.set(wrapper, made)
        const { oci } = await made
        look(await made, oci.layers ?? [])
      },
    }),
  ),
  {
    name: "pack/raw-as-it-is",
    profile: "core",
    covers: ["OVMS-SRC-021", "OVMS-OCI-036"],
    async run(wrapper, call) {
      const bytes = Buffer.concat([tarOf("etc/passwd"), Buffer.alloc(512)])
      const { code, stderr, into } = await pack(wrapper, call, { ...GOOD, "base.raw": bytes })
      must(
        code === undefined,
        `a raw layer with a tar archive in it ended with ${code}: ${stderr.slice(0, 300)}`,
      )
      const { oci } = await readLayout(into)
      must(
        oci.layers?.some(({ digest }) => digest === digestOf(bytes)),
        "the layer is not the bytes of the file",
      )
    },
  },
  {
    name: "pack/further-disks",
    profile: "core",
    covers: ["OVMS-SRC-016", "OVMS-SRC-024", "OVMS-SRC-025", "OVMS-OCI-031"],
    async run(wrapper, call) {
      const { config, oci } = await packedWhole(wrapper, call, RICHER)
      ordered(oci.layers ?? [], RICHER, ["base.raw", "upper", "data", "more"])
      saysWhat(RICHER, JSON.parse(config.toString()))
    },
  },
  {
    name: "pack/times",
    profile: "core",
    covers: ["OVMS-SRC-013"],
    async run(wrapper, call) {
      const created = "2025-09-29T12:00:00+02:00"
      const timed = { ...GOOD, source: { ...GOOD.source, metadata: { created } } }
      const cases = [
        [timed, "1700000000", created],
        [GOOD, "1700000000", "2023-11-14T22:13:20Z"],
      ] as const
      for (const [at, [files, epoch, wanted]] of cases.entries()) {
        const env = { SOURCE_DATE_EPOCH: epoch, TZ: "Asia/Tokyo" }
        const { oci, blob } = await packed(wrapper, { ...call, env }, files, `layout${at}`)
        const { metadata } = JSON.parse((oci.config ? await blob(oci.config) : "{}").toString())
        const said = [metadata?.created, oci.annotations?.["org.opencontainers.image.created"]]
        must(said.join() === `${wanted},${wanted}`, `it says that it was made at ${said.join(" and ")}`)
      }
      const { code } = await pack(wrapper, { ...call, env: { SOURCE_DATE_EPOCH: "yesterday" } }, GOOD, "none")
      must(code !== undefined, "it packed with a SOURCE_DATE_EPOCH that is no number")
    },
  },
  {
    name: "pack/same-digest",
    profile: "core",
    covers: ["OVMS-SRC-014"],
    async run(wrapper, call) {
      const first = await packed(wrapper, call)
      // Elsewhere, of other names, an hour older, and for a user with other words and another time.
      const folder = join(call.folder, "elsewhere")
      await mkdir(folder)
      for (const [name, of] of Object.entries({ a: "initrd", b: "vmlinuz", z: "base.raw" })) {
        await writeFile(join(folder, name), GOOD[of] as Uint8Array)
        await utimes(join(folder, name), 0, 3600)
      }
      const { kernel, ...source } = GOOD.source as Source
      const files = {
        source: {
          ...source,
          initrd: { path: "a" },
          diskLayers: [{ format: "raw", path: join(folder, "z") }],
          kernel: { path: "./b", args: kernel.args },
        },
      }
      const env = { TZ: "Asia/Tokyo", LANG: "tr_TR.UTF-8", LC_ALL: "tr_TR.UTF-8", USER: "other" }
      const second = await packed(wrapper, { ...call, folder, env }, files)
      must(first.digest === second.digest, `the same files gave ${first.digest} and ${second.digest}`)
    },
  },
]
