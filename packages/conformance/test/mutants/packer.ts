import { createHash } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
type Oci = any

const TITLE = "org.opencontainers.image.title"
const CREATED = "org.opencontainers.image.created"

/** What each fault makes of an OCI manifest. */
const CHANGES: Readonly<Record<string, (oci: Oci, manifest: Oci) => void>> = {
  "writes disks from the top down": ({ layers }) => layers.push(layers.splice(-2, 1)[0]),
  "writes further disks from the top down": ({ layers }) => layers.splice(-1, 0, layers.splice(-3, 1)[0]),
  "has one entry for the same bytes": (oci) => {
    oci.layers = oci.layers.filter(
      ({ digest }: Oci, at: number, all: Oci) => all.findIndex((one: Oci) => one.digest === digest) === at,
    )
  },
  "sorts numbers as numbers": () => {},
  "escapes what is not ASCII": () => {},
  "drops hints": (_, manifest) => {
    delete manifest.runtimeHints
  },
  "drops annotations": (oci) => {
    delete oci.annotations
  },
  "writes where it is": (oci) => {
    oci.annotations = { zone: process.env.TZ ?? "none", ...oci.annotations }
  },
  "has a time of its own": ({ annotations }, { metadata }) => {
    const created = metadata?.created?.replace("Z", "+00:00")
    if (created) Object.assign(metadata, { created })
    if (created) annotations[CREATED] = created
  },
  "writes no artifactType": (oci) => {
    delete oci.artifactType
  },
  "writes an alias": (oci) => {
    oci.layers[0].mediaType = "application/vnd.acme.ovms.kernel.v1"
  },
  "writes no titles": (oci) => {
    for (const layer of oci.layers) delete layer.annotations[TITLE]
  },
  "writes one title twice": (oci) => {
    oci.layers[1].annotations[TITLE] = oci.layers[0].annotations[TITLE]
  },
  "writes no formats": (oci) => {
    for (const layer of oci.layers) delete layer.annotations["ovms.format"]
  },
  "writes layers in another order": (oci) => oci.layers.reverse(),
  "writes with white space": () => {},
  "writes the time": (oci) => {
    oci.annotations = { ...oci.annotations, "org.opencontainers.image.created": "2026-01-01T00:00:00Z" }
  },
  "writes something else each time": (oci) => {
    oci.annotations = { ...oci.annotations, nonce: String(process.hrtime.bigint()) }
  },
}

/** Changes the artifact of a layout, so that all digests are right. */
export async function change(fault: string, layout: string): Promise<void> {
  const edit = CHANGES[fault]
  if (!edit) return
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8"))
  const blob = (digest: string) => join(layout, "blobs/sha256", digest.slice("sha256:".length))
  const oci = JSON.parse(await readFile(blob(index.manifests[0].digest), "utf8"))
  const manifest = JSON.parse(await readFile(blob(oci.config.digest), "utf8"))
  edit(oci, manifest)
  const own = textOf(fault, manifest)
  Object.assign(oci.config, { digest: digestOf(own), size: Buffer.byteLength(own) })
  await writeFile(blob(oci.config.digest), own)
  const text = textOf(fault, oci)
  const digest = digestOf(text)
  await writeFile(blob(digest), text)
  index.manifests = [{ ...index.manifests[0], digest, size: Buffer.byteLength(text) }]
  await writeFile(join(layout, "index.json"), JSON.stringify(index))
}

function textOf(fault: string, document: object): string {
  const text = JSON.stringify(document, undefined, fault === "writes with white space" ? 2 : undefined)
  if (fault !== "escapes what is not ASCII") return text
  return text.replace(/[^ -~]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`)
}

function digestOf(text: string): string {
  return `sha256:${createHash("sha256").update(text).digest("hex")}`
}
