import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { parseLinks } from "../../content/manifest.ts"
import { fetchAll, MANIFEST_LIMIT } from "../../content/read.ts"
import { isAnnotations } from "../../content/referrers.ts"
import { ENVELOPE } from "../envelope.ts"
import { malformedSignature } from "../json.ts"
import { SIMPLE_SIGNING } from "./payload.ts"

/**
 * The layers of the manifest under a tag of the older form, each of which is a signature or an attestation. Throws
 * OVM_SIGNATURE_MALFORMED, naming `place`, for a manifest of anything else, and OVM_ARTIFACT_INVALID for what is no
 * manifest.
 */
export async function layersOf(
  store: Fetcher,
  manifest: Descriptor,
  place: string,
  call: Call,
): Promise<readonly Descriptor[]> {
  const bytes = await fetchAll(store, manifest, MANIFEST_LIMIT, call)
  parseLinks(bytes, place)
  const { layers } = JSON.parse(new TextDecoder().decode(bytes)) as { layers?: readonly Descriptor[] }
  if (!layers || layers.length === 0)
    throw malformedSignature(`${place} is no list of signatures: it has no layers`)
  const other = layers.find(({ mediaType }) => mediaType !== SIMPLE_SIGNING && mediaType !== ENVELOPE)
  if (other)
    throw malformedSignature(`${place} is no list of signatures: it has a layer of type ${other.mediaType}`)
  return layers.map(({ annotations, ...layer }) => ({
    ...layer,
    ...(isAnnotations(annotations) && { annotations }),
  }))
}
