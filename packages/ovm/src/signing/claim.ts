import type { Digest } from "../content/digest.ts"
import { fetchAll } from "../content/read.ts"
import { isObject } from "../objects.ts"
import { parseBundle } from "./bundle/parse.ts"
import { ENVELOPE, type Envelope, parseEnvelope, preAuthEncoding } from "./envelope.ts"
import type { Inquiry, Piece } from "./evidence.ts"
import { type Evidence, SIGNATURE_PREDICATE } from "./interfaces.ts"
import { bytesIn, malformedSignature, parseObject } from "./json.ts"
import { parsePayload } from "./legacy/payload.ts"
import { CERTIFICATE_ANNOTATION, SIGNATURE_ANNOTATION } from "./legacy/tags.ts"
import { ATTESTATION_LIMIT, SIGNATURE_LIMIT } from "./limits.ts"
import { kindOf, parseStatement, REFERENCE_ANNOTATION } from "./statement.ts"

/** A piece of evidence that was read and is about the right subject: who signed what, and not yet whether. */
export interface Claim {
  readonly evidence: Evidence
  /** What was signed; of an envelope, its pre-authentication encoding. */
  readonly message: Buffer
  /** What is in it; logs of envelopes have its digest. */
  readonly payload: Buffer
  readonly signature: Buffer
  /** Of the key, where a bundle has one. */
  readonly hint?: string
  /** DER. */
  readonly certificate?: Buffer
  readonly signedReference?: string
  readonly predicate?: unknown
  /** The bundle, or the annotations of the older form: where log entries and timestamps are. */
  readonly material:
    | { readonly bundle: Record<string, unknown> }
    | { readonly annotations: Piece["annotations"] }
}

/**
 * Fetches and reads a piece. Throws OVM_SIGNATURE_MALFORMED, OVM_SIGNATURE_SUBJECT_MISMATCH, and what the source throws
 * (OVMS-SIG-020, OVMS-SIG-021).
 */
export async function readClaim(
  { source, subject, call }: Inquiry,
  piece: Piece,
  wanted: string,
): Promise<Claim> {
  const { evidence } = piece
  const limit = wanted === SIGNATURE_PREDICATE ? SIGNATURE_LIMIT : ATTESTATION_LIMIT
  const what = `${evidence.form === "bundle" ? "the bundle" : "the payload"} ${evidence.blob.digest}`
  const bytes = await fetchAll(source, evidence.blob, limit, call)
  if (evidence.form === "legacy") return legacyClaim(bytes, subject, piece, what)
  const { envelope, hint, certificate, document } = parseBundle(bytes, what, limit)
  return {
    ...envelopeClaim(envelope, subject, evidence, what),
    ...(hint !== undefined && { hint }),
    ...(certificate && { certificate }),
    material: { bundle: document },
  }
}

function legacyClaim(bytes: Uint8Array, subject: Digest, piece: Piece, what: string): Claim {
  const { evidence, annotations } = piece
  const certificate = certificateIn(annotations, what)
  const rest = { ...(certificate && { certificate }), material: { annotations } }
  if (evidence.blob.mediaType === ENVELOPE) {
    const envelope = parseEnvelope(parseObject(bytes, what, ATTESTATION_LIMIT), what)
    return { ...envelopeClaim(envelope, subject, evidence, what), ...rest }
  }
  const { reference } = parsePayload(bytes, subject, what)
  const message = Buffer.from(bytes)
  const signature = bytesIn(annotations, SIGNATURE_ANNOTATION, what)
  return {
    evidence,
    message,
    payload: message,
    signature,
    ...(reference !== "" && { signedReference: reference }),
    ...rest,
  }
}

function envelopeClaim(
  envelope: Envelope,
  subject: Digest,
  evidence: Evidence,
  what: string,
): Omit<Claim, "material"> {
  const { predicateType, predicate, annotations } = parseStatement(envelope.payload, subject, what)
  const kind = kindOf(predicateType)
  // The signature says that, and nothing else: what is more would be believed by nobody who asked for it.
  if (
    kind === "signature" &&
    predicate !== undefined &&
    !(isObject(predicate) && Object.keys(predicate).length === 0)
  )
    throw malformedSignature(`${what} is a signature with a predicate that is not empty`)
  const reference = annotations[REFERENCE_ANNOTATION]
  return {
    evidence: { ...evidence, kind, predicateType },
    message: preAuthEncoding(envelope.payloadType, envelope.payload),
    payload: envelope.payload,
    signature: envelope.signature,
    ...(typeof reference === "string" && reference !== "" && { signedReference: reference }),
    ...(kind === "attestation" && { predicate }),
  }
}

function certificateIn(annotations: Piece["annotations"], what: string): Buffer | undefined {
  const pem = annotations[CERTIFICATE_ANNOTATION]
  if (pem === undefined || pem === "") return undefined
  const [, base64] =
    /^-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*$/.exec(pem) ?? []
  if (base64 === undefined) throw malformedSignature(`${what} has a certificate that is not one PEM block`)
  return Buffer.from(base64, "base64")
}
