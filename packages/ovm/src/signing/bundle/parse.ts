import { isObject } from "../../objects.ts"
import { type Envelope, parseEnvelope } from "../envelope.ts"
import { bytesIn, malformedSignature, parseObject, textIn } from "../json.ts"

/** The type of the bundles that are read and written: of the referrer, of its one layer, and of the document itself. */
export const BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"

/** What a Sigstore bundle consists of, without what only the verifier of certificates needs. */
export interface Bundle {
  readonly envelope: Envelope
  /** Of the key that signed; absent where a certificate did. */
  readonly hint?: string
  /** DER. */
  readonly certificate?: Buffer
  /** The document as JSON, for the verifier of certificates, logs and timestamps. */
  readonly document: Record<string, unknown>
}

/**
 * Reads a Sigstore bundle of version 0.3 around a DSSE envelope, of at most `limit` bytes. Throws
 * OVM_SIGNATURE_MALFORMED, naming `what` (OVMS-SIG-030).
 */
export function parseBundle(bytes: Uint8Array, what: string, limit: number): Bundle {
  const document = parseObject(bytes, what, limit)
  const mediaType = textIn(document, "mediaType", what)
  if (mediaType !== BUNDLE && mediaType !== "application/vnd.dev.sigstore.bundle+json;version=0.3")
    throw malformedSignature(
      `${what} is not a Sigstore bundle of version 0.3: it is ${JSON.stringify(mediaType.slice(0, 100))}`,
    )
  const material = document.verificationMaterial
  if (!isObject(material)) throw malformedSignature(`${what} has no verificationMaterial`)
  if (document.messageSignature !== undefined)
    throw malformedSignature(`${what} has a message signature, which is of no artifact`)
  const envelope = parseEnvelope(document.dsseEnvelope, what)
  const { publicKey, certificate, x509CertificateChain } = material
  const ways = [publicKey, certificate, x509CertificateChain].filter((way) => way !== undefined)
  if (ways.length !== 1) throw malformedSignature(`${what} has ${ways.length} keys and certificates, not one`)
  if (isObject(publicKey)) {
    const { hint = "" } = publicKey
    if (typeof hint !== "string") throw malformedSignature(`${what}: the key's hint is not a text`)
    return { envelope, hint, document }
  }
  if (isObject(certificate))
    return { envelope, certificate: bytesIn(certificate, "rawBytes", what), document }
  throw malformedSignature(`${what} has no certificate: version 0.3 has exactly one`)
}
