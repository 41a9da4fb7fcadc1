import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import schema from "@ovms/spec/schema/manifest.v1.json" with { type: "json" }
import { type ReadLayout, readLayout } from "../artifact/layout.ts"
import { kernelOf, OCI_MANIFEST, OVMS_MANIFEST } from "../artifact/make.ts"
import { type Check, type CheckCall, must } from "../check.ts"
import { type Descriptor, digestOf, utf8 } from "../registry/content.ts"
import type { Wrapper } from "../subject/wrapper.ts"
import { tarOf } from "./foreign.ts"

const TAR = "application/vnd.oci.image.layer.v1.tar"
const TITLE = "org.opencontainers.image.title"

export interface Files {
  readonly source: object
  readonly [name: string]: Uint8Array | object
}

export const GOOD: Files = {
  source: {
    schemaVersion: 1,
    name: "suite/packed",
    kernel: { path: "vmlinuz", args: "console=ttyS0" },
    initrd: { path: "initrd" },
    diskLayers: [{ path: "base.raw", format: "raw" }],
    resources: { vcpus: 1, memory: 134217728 },
  },
  vmlinuz: kernelOf(1),
  initrd: utf8("an initrd"),
  "base.raw": Buffer.alloc(4096, 5),
}

/** Packs `files` into a layout; its code if it was refused. */
export async function pack(wrapper: Wrapper, call: CheckCall, files: Files, layout = "layout") {
  for (const [name, content] of Object.entries(files))
    await writeFile(
      join(call.folder, name),
      content instanceof Uint8Array ? content : JSON.stringify(content),
    )
  const into = join(call.folder, layout)
  const { code, stderr } = await wrapper.call("pack", [join(call.folder, "source"), into], call)
  return { code, stderr, into }
}

async function packed(wrapper: Wrapper, call: CheckCall, layout?: string): Promise<ReadLayout> {
  const { code, stderr, into } = await pack(wrapper, call, GOOD, layout)
  must(code === undefined, `the pack ended with ${code}: ${stderr.trim().slice(0, 300)}`)
  return await readLayout(into)
}

type Look = (layout: ReadLayout, layers: readonly Descriptor[]) => Promise<void> | void

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
    ["OVMS-OCI-052"],
    (_, layers) => {
      const disks = layers.filter((layer) => layer.annotations?.["ovms.format"] === "raw")
      must(
        disks.length === 1 && disks[0]?.mediaType === TAR,
        `of the layers, one is a disk of the type ${TAR}`,
      )
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
    ["OVMS-SRC-016"],
    (_, layers) => {
      const types = layers.map(({ mediaType }) => mediaType)
      const wanted = ["application/vnd.ovms.kernel.v1", "application/vnd.ovms.initrd.v1", TAR]
      must(types.join() === wanted.join(), `the layers are ${types.join(", ")}`)
    },
  ],
  [
    "manifest",
    ["OVMS-OCI-051", "OVMS-SRC-017", "OVMS-OCI-030", "OVMS-OCI-032", "OVMS-VER-002"],
    async (layout, layers) => {
      must(layout.oci.config, "there is no config")
      const document = JSON.parse((await layout.blob(layout.oci.config)).toString())
      const surplus = Object.keys(document).filter((name) => !(name in schema.properties))
      must(surplus.length === 0, `it wrote members of its own: ${surplus.join(", ")}`)
      must(document.os === "linux" && document.architecture === "amd64", "os or architecture is missing")
      const disk = layers.find(({ digest }) => digest === document.diskLayers[0].ref)
      must(disk?.size === document.diskLayers[0].size, "the size of the disk is not that of its blob")
      must(
        layers.some(({ digest }) => digest === document.kernel.ref),
        "the kernel is in no layer",
      )
    },
  ],
  [
    "canonical",
    ["OVMS-SRC-015"],
    async (layout) => {
      must(layout.oci.config, "there is no config")
      for (const bytes of [layout.bytes, await layout.blob(layout.oci.config)])
        must(bytes.toString() === sorted(JSON.parse(bytes.toString())), "a document is not as RFC 8785 says")
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

export const packChecks: readonly Check<Wrapper>[] = [
  ...looks.map(
    ([name, covers, look]): Check<Wrapper> => ({
      name: `pack/${name}`,
      profile: "core",
      covers,
      async run(wrapper, call) {
        const layout = await packed(wrapper, call)
        await look(layout, layout.oci.layers ?? [])
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
    name: "pack/same-digest",
    profile: "core",
    covers: ["OVMS-SRC-014"],
    async run(wrapper, call) {
      const first = await packed(wrapper, call, "one")
      const second = await packed(wrapper, call, "two")
      must(first.digest === second.digest, `the same files gave ${first.digest} and ${second.digest}`)
    },
  },
]
