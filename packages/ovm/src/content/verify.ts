import { OvmError } from "../errors.ts"
import type { Descriptor } from "./descriptor.ts"
import type { Digest } from "./digest.ts"
import { sha256 } from "./digest.ts"
import type { Bytes, Call } from "./interfaces.ts"

type Expected = Pick<Descriptor, "digest" | "size">

/**
 * Passes `content` on while hashing it. Throws OVM_SIZE_MISMATCH at the first byte over or at an early end, and
 * OVM_DIGEST_MISMATCH after the last byte (OVMS-SEC-001, OVMS-SEC-002). `where` says in messages which copy is meant.
 */
export async function* verifiedContent(content: Bytes, expected: Expected, where = "content"): Bytes {
  const hash = sha256()
  let seen = 0
  for await (const chunk of content) {
    seen += chunk.byteLength
    if (seen > expected.size) throw sizeMismatch(expected, `more than ${expected.size}`, where)
    hash.update(chunk)
    yield chunk
  }
  if (seen !== expected.size) throw sizeMismatch(expected, `${seen}`, where)
  const digest = hash.digest()
  if (digest !== expected.digest) throw digestMismatch(expected, digest, where)
}

/** Passes `content` on until the call is cancelled: for sources that do not know of the signal. */
export async function* abortable(content: Bytes, call: Call): Bytes {
  for await (const chunk of content) {
    call.signal?.throwIfAborted()
    yield chunk
  }
}

export function sizeMismatch(expected: Expected, found: string, where: string): OvmError {
  return new OvmError(
    "OVM_SIZE_MISMATCH",
    `${where} of ${expected.digest} has ${found} bytes where its descriptor says ${expected.size}`,
    { detail: { digest: expected.digest, expected: expected.size } },
  )
}

export function digestMismatch(expected: Expected, found: Digest, where: string): OvmError {
  return new OvmError("OVM_DIGEST_MISMATCH", `${where} of ${expected.digest} has the digest ${found}`, {
    detail: { expected: expected.digest, found },
  })
}
