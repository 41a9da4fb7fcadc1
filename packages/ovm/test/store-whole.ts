import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** What a store breaks, one sentence each, judged from its files alone: none of our own code is asked. */
export function faultsOf(store: string): string[] {
  const blobs = join(store, "blobs/sha256")
  if (!existsSync(join(store, "oci-layout"))) return []
  const faults = (existsSync(blobs) ? readdirSync(blobs) : []).flatMap((name) => {
    const digest = createHash("sha256")
      .update(readFileSync(join(blobs, name)))
      .digest("hex")
    return digest === name ? [] : [`blob ${name} has the digest ${digest}`]
  })
  try {
    const { manifests } = JSON.parse(readFileSync(join(store, "index.json"), "utf8"))
    for (const entry of manifests) faults.push(...lacks(blobs, entry))
  } catch (thrown) {
    faults.push(`index.json: ${thrown}`)
  }
  return faults
}

interface Named {
  readonly mediaType?: string
  readonly digest: string
  readonly size: number
}

/** What `named` is or refers to and is not there as said. */
function lacks(blobs: string, { mediaType = "", digest, size }: Named): string[] {
  const path = join(blobs, digest.slice("sha256:".length))
  if (!existsSync(path)) return [`${digest} is named and missing`]
  const bytes = readFileSync(path)
  if (bytes.length !== size) return [`${digest} has ${bytes.length} bytes, not ${size}`]
  if (!/manifest|index/.test(mediaType) || !/^application\/vnd\.oci\.image/.test(mediaType)) return []
  const { config, layers = [], manifests = [] } = JSON.parse(bytes.toString())
  return [...(config ? [config] : []), ...layers, ...manifests].flatMap((one: Named) => lacks(blobs, one))
}
