import { createHash, type KeyObject, sign } from "node:crypto"
import { extension, type Holder, keyId } from "./certificate.ts"
import { octets } from "./der.ts"
import { newKeys } from "./evidence.ts"

/** A log: of certificates, or of signatures. */
export interface Log {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export const newLog = (): Log => newKeys()

const number = (value: number, bytes: number) => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(value))
  return buffer.subarray(8 - bytes)
}

/** The extension by which a log says that it has seen a certificate (RFC 6962), at a time. */
export function seenBy({ privateKey, publicKey }: Log, issuer: Holder, at: Date) {
  return (unsigned: Buffer): Buffer => {
    const stamp = number(at.getTime(), 8)
    const entry = [number(1, 2), keyId(issuer.publicKey), number(unsigned.length, 3), unsigned, number(0, 2)]
    const signature = sign("sha256", Buffer.concat([number(0, 2), stamp, ...entry]), privateKey)
    const said = [number(0, 1), keyId(publicKey), stamp, number(0, 2), number(0x0403, 2)]
    const one = Buffer.concat([...said, number(signature.length, 2), signature])
    const list = Buffer.concat([number(one.length, 2), one])
    return extension("1.3.6.1.4.1.11129.2.4.2", false, octets(Buffer.concat([number(list.length, 2), list])))
  }
}

/** What is entered of a signature. */
export interface Entered {
  readonly payload: Buffer
  /** As JSON. */
  readonly envelope: string
  /** Base64. */
  readonly sig: string
  /** Certificate or public key, as PEM. */
  readonly verifier: string
}

/** Where the logs are said to be. */
export const PLACE = "https://suite.example.com"

const sha256 = (...bytes: readonly Uint8Array[]) => createHash("sha256").update(Buffer.concat(bytes)).digest()

/** That a log has this one entry and no other: its tree, and its word for that, as Rekor of version 1 gives it. */
function proof({ privateKey, publicKey }: Log, body: Buffer): object {
  const root = sha256(number(0, 1), body).toString("base64")
  const note = `${new URL(PLACE).host} - 1\n1\n${root}\n`
  const word = Buffer.concat([keyId(publicKey).subarray(0, 4), sign("sha256", Buffer.from(note), privateKey)])
  const envelope = `${note}\n\u2014 ${new URL(PLACE).host} ${word.toString("base64")}\n`
  return { logIndex: "0", rootHash: root, treeSize: "1", hashes: [], checkpoint: { envelope } }
}

/** An entry, with the log's promise that it was there at a time. */
export function entry(log: Log, { payload, envelope, sig, verifier }: Entered, at: Date): object {
  const { privateKey, publicKey } = log
  const hash = (bytes: Uint8Array) => sha256(bytes).toString("hex")
  const spec = {
    envelopeHash: { algorithm: "sha256", value: hash(Buffer.from(envelope)) },
    payloadHash: { algorithm: "sha256", value: hash(payload) },
    signatures: [{ signature: sig, verifier: Buffer.from(verifier).toString("base64") }],
  }
  const entered = Buffer.from(JSON.stringify({ apiVersion: "0.0.1", kind: "dsse", spec }))
  const body = entered.toString("base64")
  const integratedTime = Math.floor(at.getTime() / 1000)
  // In the order of canonical JSON.
  const said = { body, integratedTime, logID: keyId(publicKey).toString("hex"), logIndex: 0 }
  const promise = sign("sha256", Buffer.from(JSON.stringify(said)), privateKey).toString("base64")
  return {
    logIndex: "0",
    logId: { keyId: keyId(publicKey).toString("base64") },
    kindVersion: { kind: "dsse", version: "0.0.1" },
    integratedTime: String(integratedTime),
    inclusionPromise: { signedEntryTimestamp: promise },
    inclusionProof: proof(log, entered),
    canonicalizedBody: body,
  }
}
