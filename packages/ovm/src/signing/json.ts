import { readJson } from "../artifact/json.ts"
import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"

/**
 * A JSON object that a stranger wrote, read strictly: no member twice, bounded (OVMS-SEC-010 to OVMS-SEC-013).
 * Throws OVM_SIGNATURE_MALFORMED, naming `what`.
 */
export function parseObject(bytes: Uint8Array, what: string, limit: number): Record<string, unknown> {
  const result = readJson(bytes, { bytes: limit })
  if ("fault" in result) throw malformedSignature(`${what}: ${result.fault.message}`)
  if (!isObject(result.value)) throw malformedSignature(`${what} is not a JSON object`)
  return result.value
}

/** A member that has to be a text. */
export function textIn(object: Record<string, unknown>, name: string, what: string): string {
  const value = object[name]
  if (typeof value === "string") return value
  throw malformedSignature(`${what} has no ${name}`)
}

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Standard base64 with its padding and nothing else: one text for one value. */
export function bytesIn(object: Record<string, unknown>, name: string, what: string): Buffer {
  const text = textIn(object, name, what)
  if (!BASE64.test(text)) throw malformedSignature(`${what}: ${name} is not base64`)
  return Buffer.from(text, "base64")
}

export function malformedSignature(message: string, cause?: unknown): OvmError {
  return new OvmError("OVM_SIGNATURE_MALFORMED", message, { cause })
}
