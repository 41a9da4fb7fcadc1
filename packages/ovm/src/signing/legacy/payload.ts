import { type Digest, isDigest } from "../../content/digest.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import { malformedSignature, parseObject, textIn } from "../json.ts"

/** The media type of a simple-signing payload. */
export const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json"
const TYPE = "cosign container image signature"
/** Of a payload, in bytes. */
const LIMIT = 1 << 20

/** A simple-signing payload (Cosign: SIGNATURE_SPEC.md, "Payloads"). */
export interface Payload {
  /** The repository, perhaps with a tag, that it was signed for; "" if it does not say. */
  readonly reference: string
}

/** The bytes of a payload that says that `subject` is what `reference` means. */
export function writePayload(
  subject: Digest,
  reference: string,
  annotations: Readonly<Record<string, string>>,
): Buffer {
  const critical = {
    identity: { "docker-reference": reference },
    image: { "docker-manifest-digest": subject },
    type: TYPE,
  }
  const optional = Object.keys(annotations).length > 0 ? annotations : null
  return Buffer.from(JSON.stringify({ critical, optional }))
}

/** Throws OVM_SIGNATURE_MALFORMED, and OVM_SIGNATURE_SUBJECT_MISMATCH for one of another digest; both name `what`. */
export function parsePayload(bytes: Uint8Array, subject: Digest, what: string): Payload {
  const { critical } = parseObject(bytes, what, LIMIT)
  if (!isObject(critical) || !isObject(critical.image))
    throw malformedSignature(`${what} is not a simple-signing payload`)
  const type = textIn(critical, "type", what)
  if (type !== TYPE)
    throw malformedSignature(
      `${what} is not a simple-signing payload: its type is ${JSON.stringify(type.slice(0, 100))}`,
    )
  const digest = textIn(critical.image, "docker-manifest-digest", what)
  if (digest !== subject)
    throw new OvmError(
      "OVM_SIGNATURE_SUBJECT_MISMATCH",
      `${what} is about ${isDigest(digest) ? digest : JSON.stringify(digest.slice(0, 140))}, not about ${subject}`,
    )
  const reference = isObject(critical.identity) ? critical.identity["docker-reference"] : undefined
  return { reference: typeof reference === "string" ? reference : "" }
}
