import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import type { Call, Pusher } from "../../content/interfaces.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { bytesOf } from "../../content/read.ts"
import { envelopeJson, INTOTO, preAuthEncoding } from "../envelope.ts"
import { PREDICATE_HINT } from "../evidence.ts"
import type { Signer } from "../interfaces.ts"
import { parsePublicKey } from "../keys/public.ts"
import { BUNDLE } from "./parse.ts"

const EMPTY = "application/vnd.oci.empty.v1+json"

/** Signs a statement and gives the bundle around it. */
export interface Sealer {
  seal(statement: Uint8Array, call?: Call): Promise<Uint8Array>
}

/** Bundles by a key: the envelope, and the hint which key it is. */
export function sealBy(signer: Signer): Sealer {
  return {
    async seal(statement, call) {
      const { hint } = parsePublicKey(await signer.publicKey(call), "the signer's key")
      const payload = Buffer.from(statement)
      const signature = Buffer.from(await signer.sign(preAuthEncoding(INTOTO, payload), call))
      return Buffer.from(
        JSON.stringify({
          mediaType: BUNDLE,
          verificationMaterial: { publicKey: { hint } },
          dsseEnvelope: envelopeJson({ payloadType: INTOTO, payload, signature }),
        }),
      )
    },
  }
}

/** A bundle, and what the statement in it says of its subject. */
export interface Sealed {
  readonly bundle: Uint8Array
  readonly predicateType: string
}

/**
 * Attaches a bundle to `subject` as its referrer, in the form that Cosign writes (OVMS-SIG-010). Returns the descriptor
 * of the referrer's manifest. Throws what the store throws.
 */
export async function attachBundle(
  store: Pusher,
  subject: Descriptor,
  { bundle, predicateType }: Sealed,
  call: Call,
): Promise<Descriptor> {
  const config = { ...(await pushed(store, EMPTY, Buffer.from("{}"), call)), artifactType: BUNDLE }
  const layer = await pushed(store, BUNDLE, bundle, call)
  const manifest = {
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config,
    layers: [layer],
    annotations: {
      "dev.sigstore.bundle.content": "dsse-envelope",
      [PREDICATE_HINT]: predicateType,
      "org.opencontainers.image.created": new Date().toISOString().replace(/\.\d+Z$/, "Z"),
    },
    subject: { mediaType: subject.mediaType, size: subject.size, digest: subject.digest },
    artifactType: BUNDLE,
  }
  return pushed(store, OCI_MANIFEST, Buffer.from(JSON.stringify(manifest)), call)
}

/** Stores bytes under their own digest. */
export async function pushed(
  store: Pusher,
  mediaType: string,
  bytes: Uint8Array,
  call: Call,
): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
  await store.push(descriptor, bytesOf(bytes), call)
  return descriptor
}
