import { createHash, type KeyObject, randomBytes, sign } from "node:crypto"
import {
  bits,
  context,
  der,
  ECDSA_SHA256,
  integer,
  octets,
  oid,
  sequence,
  setOf,
  shortTime,
  utf8String,
  yes,
} from "./der.ts"
import { newKeys } from "./evidence.ts"

/** Who issues certificates, or has one. */
export interface Holder {
  readonly certificate: Buffer
  readonly name: Buffer
  /** The name of its issuer. */
  readonly issuedBy: Buffer
  readonly serial: Buffer
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export interface Wanted {
  readonly name: string
  /** The holder's own key where there is none: then it is its own root. */
  readonly issuer?: Holder
  readonly from: Date
  readonly to: Date
  readonly extensions: readonly Buffer[]
  /** Makes one more extension of all that is signed otherwise. */
  readonly witnessed?: (unsigned: Buffer) => Buffer | undefined
}

const CODE_SIGNING = "1.3.6.1.5.5.7.3.3"
const TIME_STAMPING = "1.3.6.1.5.5.7.3.8"
const SERVER = "1.3.6.1.5.5.7.3.1"

export function extension(id: string, critical: boolean, value: Uint8Array): Buffer {
  return sequence(oid(id), ...(critical ? [yes] : []), octets(value))
}

/** What the key may be used for: of an authority, to sign certificates. */
const keyUsage = (use: number) => extension("2.5.29.15", true, der(0x03, Buffer.from([1, use])))
const usage = (purpose: string) => extension("2.5.29.37", purpose === TIME_STAMPING, sequence(oid(purpose)))
const names = (...all: readonly Buffer[]) => extension("2.5.29.17", true, sequence(...all))

export const AUTHORITY = [extension("2.5.29.19", true, sequence(yes)), keyUsage(0x06)]
export const STAMPER = [keyUsage(0x80), usage(TIME_STAMPING)]
/** Of a server that is asked for as 0.0.0.0. */
export const AT_THIS_HOST = [keyUsage(0x80), usage(SERVER), names(context(7, false, Buffer.alloc(4)))]

/** Of one who signs: a URI, for which an issuer of identities has vouched. */
export function signerOf(identity: string, vouched: string, purpose: "code" | "server" = "code"): Buffer[] {
  return [
    keyUsage(0x80),
    usage(purpose === "code" ? CODE_SIGNING : SERVER),
    names(context(6, false, Buffer.from(identity))),
    extension("1.3.6.1.4.1.57264.1.8", false, utf8String(vouched)),
    extension("1.3.6.1.4.1.57264.1.1", false, Buffer.from(vouched)),
  ]
}

/** A certificate of version 3, with a new key of P-256. */
export function certify({ name, issuer, from, to, extensions, witnessed }: Wanted): Holder {
  const { privateKey, publicKey } = newKeys()
  const own = sequence(setOf(sequence(oid("2.5.4.3"), utf8String(name))))
  const number = randomBytes(16)
  number.writeUInt8((number.readUInt8() & 0x7f) | 0x40)
  const serial = der(0x02, number)
  const key = publicKey.export({ type: "spki", format: "der" })
  const unsigned = (all: readonly Buffer[]) =>
    sequence(
      context(0, true, integer(2)),
      serial,
      ECDSA_SHA256,
      issuer?.name ?? own,
      sequence(shortTime(from), shortTime(to)),
      own,
      key,
      context(3, true, sequence(...all)),
    )
  const more = witnessed?.(unsigned(extensions))
  const body = unsigned([...extensions, ...(more ? [more] : [])])
  const signature = sign("sha256", body, issuer?.privateKey ?? privateKey)
  const certificate = sequence(body, ECDSA_SHA256, bits(signature))
  return { certificate, name: own, issuedBy: issuer?.name ?? own, serial, privateKey, publicKey }
}

export function keyId(key: KeyObject): Buffer {
  return createHash("sha256")
    .update(key.export({ type: "spki", format: "der" }))
    .digest()
}

export function pem(certificate: Buffer): string {
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? []
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n")
}
