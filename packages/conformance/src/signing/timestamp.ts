import { createHash, sign } from "node:crypto"
import type { Holder } from "./certificate.ts"
import { context, der, ECDSA_SHA256, integer, octets, oid, SHA256, sequence, setOf, time } from "./der.ts"

const TST_INFO = "1.2.840.113549.1.9.16.1.4"

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest()
const attribute = (id: string, value: Buffer) => sequence(oid(id), setOf(value))

/** The answer of a timestamp authority (RFC 3161) to whoever asked it when these bytes were. */
export function timestamp(stamper: Holder, bytes: Uint8Array, at: Date): Buffer {
  const info = sequence(
    integer(1),
    oid("1.3.6.1.4.1.57264.2"),
    sequence(SHA256, octets(sha256(bytes))),
    integer(1),
    time(at),
  )
  const attributes = [
    attribute("1.2.840.113549.1.9.3", oid(TST_INFO)),
    attribute("1.2.840.113549.1.9.4", octets(sha256(info))),
    attribute(
      "1.2.840.113549.1.9.16.2.47",
      sequence(sequence(sequence(octets(sha256(stamper.certificate))))),
    ),
  ]
  const signer = sequence(
    integer(1),
    sequence(stamper.issuedBy, stamper.serial),
    SHA256,
    context(0, true, ...attributes),
    ECDSA_SHA256,
    octets(sign("sha256", der(0x31, ...attributes), stamper.privateKey)),
  )
  const signed = sequence(
    integer(3),
    setOf(SHA256),
    sequence(oid(TST_INFO), context(0, true, octets(info))),
    context(0, true, stamper.certificate),
    setOf(signer),
  )
  return sequence(sequence(integer(0)), sequence(oid("1.2.840.113549.1.7.2"), context(0, true, signed)))
}
