import type { Descriptor } from "./descriptor.ts"

/** Where `cosign save` says of an entry of index.json what it is. */
const KINDS: ReadonlyMap<unknown, "signature" | "attestation"> = new Map([
  ["dev.cosignproject.cosign/sigs", "signature"],
  ["dev.cosignproject.cosign/atts", "attestation"],
])

/**
 * What an entry is for the artifact beside it, in a layout that `cosign save` wrote: it has one image, and what belongs
 * to it without a tag. Undefined for the image, and in other layouts.
 */
export function savedAs({ annotations }: Descriptor): "signature" | "attestation" | undefined {
  return KINDS.get(annotations?.kind)
}
