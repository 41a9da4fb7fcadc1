import { isObject } from "../objects.ts"
import { bytesIn, malformedSignature, textIn } from "./json.ts"

/** The payload type of an in-toto statement in a DSSE envelope. */
export const INTOTO = "application/vnd.in-toto+json"
/** The media type of an envelope on its own, in the legacy form. */
export const ENVELOPE = "application/vnd.dsse.envelope.v1+json"

/** A DSSE envelope with its one signature. */
export interface Envelope {
  readonly payloadType: string
  readonly payload: Buffer
  readonly signature: Buffer
}

/** What is signed: DSSE's pre-authentication encoding, which binds the payload to its type. */
export function preAuthEncoding(payloadType: string, payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${Buffer.byteLength(payloadType)} ${payloadType} ${payload.byteLength} `
  return Buffer.concat([Buffer.from(head), payload])
}

/**
 * Reads an envelope that has exactly one signature and a statement in it. Throws OVM_SIGNATURE_MALFORMED, naming
 * `what`.
 */
export function parseEnvelope(value: unknown, what: string): Envelope {
  if (!isObject(value)) throw malformedSignature(`${what} has no DSSE envelope`)
  const payloadType = textIn(value, "payloadType", what)
  if (payloadType !== INTOTO)
    throw malformedSignature(
      `${what}: the payload type is ${JSON.stringify(payloadType.slice(0, 100))}, not ${INTOTO}`,
    )
  const { signatures } = value
  if (!Array.isArray(signatures) || signatures.length !== 1 || !isObject(signatures[0]))
    throw malformedSignature(`${what} does not have exactly one signature`)
  return {
    payloadType,
    payload: bytesIn(value, "payload", what),
    signature: bytesIn(signatures[0], "sig", what),
  }
}

export function envelopeJson(envelope: Envelope): unknown {
  return {
    payload: envelope.payload.toString("base64"),
    payloadType: envelope.payloadType,
    signatures: [{ sig: envelope.signature.toString("base64") }],
  }
}
