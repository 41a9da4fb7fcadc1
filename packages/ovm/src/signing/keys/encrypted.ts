import { randomBytes, scrypt } from "node:crypto"
import { promisify } from "node:util"
import { readJson } from "../../artifact/json.ts"
import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"

const derive = promisify<string, Uint8Array, number, object, Buffer>(scrypt)

/** What Cosign writes today: 64 MiB and a fifth of a second. */
const WRITTEN = { N: 65536, r: 8, p: 1 }
/** Bytes that deriving a key may take, and how often it may be done over: four times what anybody writes. */
const MEMORY_LIMIT = 256 << 20
const PARALLEL_LIMIT = 4

/**
 * Opens the JSON inside Cosign's encrypted PEM: scrypt and NaCl's secretbox around a PKCS#8 key (DER). Throws
 * OVM_KEY_INVALID, before any memory is taken, if it cannot be understood or asks for too much; OVM_KEY_LOCKED for a
 * wrong password.
 */
export async function decrypt(sealed: Uint8Array, password: string, what: string): Promise<Buffer> {
  const { params, salt, nonce, ciphertext } = parse(sealed, what)
  const key = await deriveKey(password, salt, params)
  const { xsalsa20poly1305 } = await import("@noble/ciphers/salsa.js")
  try {
    return Buffer.from(xsalsa20poly1305(key, nonce).decrypt(ciphertext))
  } catch (cause) {
    throw new OvmError("OVM_KEY_LOCKED", `${what}: the password is wrong`, { cause })
  }
}

/** The reverse: what `decrypt` and Cosign open with `password`. */
export async function encrypt(plain: Uint8Array, password: string): Promise<Buffer> {
  const [salt, nonce] = [randomBytes(32), randomBytes(24)]
  const { xsalsa20poly1305 } = await import("@noble/ciphers/salsa.js")
  const ciphertext = xsalsa20poly1305(await deriveKey(password, salt, WRITTEN), nonce).encrypt(plain)
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64")
  return Buffer.from(
    JSON.stringify({
      kdf: { name: "scrypt", params: WRITTEN, salt: base64(salt) },
      cipher: { name: "nacl/secretbox", nonce: base64(nonce) },
      ciphertext: base64(ciphertext),
    }),
  )
}

type Params = typeof WRITTEN

function deriveKey(password: string, salt: Uint8Array, params: Params): Promise<Buffer> {
  return derive(password, salt, 32, { ...params, maxmem: 2 * MEMORY_LIMIT })
}

function parse(sealed: Uint8Array, what: string) {
  const result = readJson(sealed)
  const { kdf, cipher, ciphertext } = "value" in result && isObject(result.value) ? result.value : {}
  const known = isObject(kdf) && kdf.name === "scrypt" && isObject(cipher) && cipher.name === "nacl/secretbox"
  if (!known) throw new OvmError("OVM_KEY_INVALID", `${what} is not encrypted with scrypt and nacl/secretbox`)
  const nonce = bytes(cipher.nonce)
  if (nonce.byteLength !== 24) throw new OvmError("OVM_KEY_INVALID", `${what}: the nonce is not of 24 bytes`)
  return { params: checked(kdf.params, what), salt: bytes(kdf.salt), nonce, ciphertext: bytes(ciphertext) }
}

function checked(params: unknown, what: string): Params {
  const { N, r, p } = isObject(params) ? params : {}
  const whole = [N, r, p].every((value) => Number.isSafeInteger(value) && Number(value) > 0)
  const asked = { N: Number(N), r: Number(r), p: Number(p) }
  const power = Number.isInteger(Math.log2(asked.N)) && asked.N > 1
  if (whole && power && 128 * asked.N * asked.r <= MEMORY_LIMIT && asked.p <= PARALLEL_LIMIT) return asked
  throw new OvmError(
    "OVM_KEY_INVALID",
    `${what} asks for scrypt with N=${String(N)}, r=${String(r)}, p=${String(p)}, which is above the limits`,
    { detail: { memory: MEMORY_LIMIT, p: PARALLEL_LIMIT } },
  )
}

function bytes(value: unknown): Buffer {
  return Buffer.from(typeof value === "string" ? value : "", "base64")
}
