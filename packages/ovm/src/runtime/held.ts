import { isDigest } from "../content/digest.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import type { Held } from "../images/images.ts"
import type { Instance } from "./instance.ts"

/**
 * What each instance needs as long as it is on record: manifests, and what was written since, which no manifest may
 * have.
 */
export function heldBy(instances: ReadonlyMap<string, Instance>): Map<string, Held[]> {
  return new Map(
    Array.from(instances, ([id, { info, lineage }]) => {
      const digests = [info.image.digest, lineage?.base.digest, lineage?.parent].filter(isDigest)
      const manifests = [...new Set(digests)].map((digest) => ({ digest, mediaType: OCI_MANIFEST }))
      const chains = lineage ? [lineage, ...(lineage.disks ?? [])] : []
      const written = chains.flatMap(({ overlays }) => overlays).filter((one) => typeof one !== "string")
      return [id, [...manifests, ...(lineage?.index ? [lineage.index] : []), ...written]]
    }),
  )
}
