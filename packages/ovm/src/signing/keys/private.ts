import { createPrivateKey, createPublicKey, type KeyObject, sign as signWith } from "node:crypto"
import { OvmError } from "../../errors.ts"
import type { Signer } from "../interfaces.ts"
import { ALGORITHMS, algorithmOf } from "./algorithms.ts"
import { decrypt } from "./encrypted.ts"
import { labelsOf, type PemBlock, pemBlocks } from "./pem.ts"

/** Asked for a password once, and only where a key is encrypted. Undefined if there is none to be had. */
export type Password = () => Promise<string | undefined>

/** A private key in PEM is shorter than this, in bytes. */
export const PRIVATE_KEY_LIMIT = 64 << 10

/** The labels of Cosign's encrypted keys: of today, and of before. */
const COSIGN = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"]

/** And of those that OpenSSL writes: PKCS#8, and the older ones of EC (SEC 1) and RSA (PKCS#1). */
const PLAIN = ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]
const SEALED = "ENCRYPTED PRIVATE KEY"

/**
 * Reads the first private key in PEM: encrypted by Cosign, PKCS#8, SEC 1 or PKCS#1, plain or encrypted, whatever stands
 * around it (OVMS-SIG-043, OVMS-SIG-060). Throws OVM_KEY_INVALID, and OVM_KEY_LOCKED if the password is missing or
 * wrong; both name `what`, and nothing that is said has any of the key in it.
 */
export async function parsePrivateKey(pem: string, password: Password, what: string): Promise<KeyObject> {
  const blocks = pemBlocks(pem)
  const block = blocks.find(({ label }) => [...COSIGN, ...PLAIN, SEALED].includes(label))
  if (!block) {
    const publicHalf = blocks.some(({ label }) => /PUBLIC KEY$/.test(label))
    const found = publicHalf
      ? "it is the public half"
      : `it has no PEM block that is one: ${labelsOf(blocks)}`
    throw new OvmError("OVM_KEY_INVALID", `${what} is not a private key: ${found}`)
  }
  const key = await open(block, password, what)
  algorithmOf(key, what)
  return key
}

async function open(block: PemBlock, password: Password, what: string): Promise<KeyObject> {
  if (COSIGN.includes(block.label)) {
    const plain = await decrypt(Buffer.from(block.body, "base64"), await asked(password, what), what)
    return read(() => createPrivateKey({ key: plain, format: "der", type: "pkcs8" }), what)
  }
  if (block.label !== SEALED && !block.encrypted) return read(() => createPrivateKey(block.text), what)
  const passphrase = await asked(password, what)
  try {
    return createPrivateKey({ key: block.text, passphrase })
  } catch {
    // What the library says of it may quote what it read.
    throw new OvmError("OVM_KEY_LOCKED", `${what}: the password is wrong, or the key cannot be read`)
  }
}

async function asked(password: Password, what: string): Promise<string> {
  const text = await password()
  if (text !== undefined) return text
  throw new OvmError("OVM_KEY_LOCKED", `${what} is encrypted, and there is no password`, {
    hint: "set COSIGN_PASSWORD, or run it on a terminal",
  })
}

function read(work: () => KeyObject, what: string): KeyObject {
  try {
    return work()
  } catch {
    throw new OvmError(
      "OVM_KEY_INVALID",
      `${what} is not a private key: what its PEM block holds cannot be read`,
    )
  }
}

/** Signs with a key in memory, by the hash that belongs to its curve. */
export function keySigner(key: KeyObject): Signer {
  const { hash } = ALGORITHMS[algorithmOf(key, "the key")]
  return {
    publicKey: async () => publicPem(key),
    sign: async (message) => signWith(hash ?? null, message, key),
  }
}

/** SPKI, PEM. */
export function publicPem(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "pem" }).toString()
}
