import { createPrivateKey, createPublicKey, type KeyObject, sign as signWith } from "node:crypto"
import { OvmError } from "../../errors.ts"
import type { Signer } from "../interfaces.ts"
import { ALGORITHMS, algorithmOf } from "./algorithms.ts"
import { decrypt } from "./encrypted.ts"

/** Asked for a password once, and only where a key is encrypted. Undefined if there is none to be had. */
export type Password = () => Promise<string | undefined>

/** A private key in PEM is shorter than this, in bytes. */
export const PRIVATE_KEY_LIMIT = 64 << 10

/** The labels of Cosign's encrypted keys: of today, and of before. */
const COSIGN = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"]

/**
 * Reads a private key in PEM: encrypted by Cosign, or PKCS#8, plain or encrypted. Throws OVM_KEY_INVALID, and OVM_KEY_LOCKED if
 * the password is missing or wrong; both name `what`, and nothing that is said has any of the key in it.
 */
export async function parsePrivateKey(pem: string, password: Password, what: string): Promise<KeyObject> {
  const [, label = "", body = ""] = /-----BEGIN ([A-Z ]+)-----([\s\S]+?)-----END \1-----/.exec(pem) ?? []
  const key = await open(label, body, pem, password, what)
  algorithmOf(key, what)
  return key
}

async function open(
  label: string,
  body: string,
  pem: string,
  password: Password,
  what: string,
): Promise<KeyObject> {
  if (COSIGN.includes(label)) {
    const plain = await decrypt(Buffer.from(body, "base64"), await asked(password, what), what)
    return read(() => createPrivateKey({ key: plain, format: "der", type: "pkcs8" }), what)
  }
  if (label === "ENCRYPTED PRIVATE KEY") {
    const passphrase = await asked(password, what)
    try {
      return createPrivateKey({ key: pem, passphrase })
    } catch {
      // What the library says of it may quote what it read.
      throw new OvmError("OVM_KEY_LOCKED", `${what}: the password is wrong, or the key cannot be read`)
    }
  }
  if (label === "PRIVATE KEY" || label === "EC PRIVATE KEY") return read(() => createPrivateKey(pem), what)
  const found = label === "PUBLIC KEY" ? "it is the public half" : "it has no PEM block that is one"
  throw new OvmError("OVM_KEY_INVALID", `${what} is not a private key: ${found}`)
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
