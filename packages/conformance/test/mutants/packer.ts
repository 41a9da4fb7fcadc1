import { createHash } from "node:crypto"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

// biome-ignore lint/suspicious/noExplicitAny: a document that is changed at will
type Oci = any

const TITLE = "org.opencontainers.image.title"

/** What each fault makes of an OCI manifest. */
const CHANGES: Readonly<Record<string, (oci: Oci) => void>> = {
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
  edit(oci)
  const text = JSON.stringify(oci, undefined, fault === "writes with white space" ? 2 : undefined)
  const digest = `sha256:${createHash("sha256").update(text).digest("hex")}`
  await writeFile(blob(digest), text)
  index.manifests = [{ ...index.manifests[0], digest, size: Buffer.byteLength(text) }]
  await writeFile(join(layout, "index.json"), JSON.stringify(index))
}
