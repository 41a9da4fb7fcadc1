import { OvmError } from "../../errors.ts"

/** What a container image may have at most, whatever it claims (spec/import.md). */
export const CONTAINER_LIMITS = {
  layers: 127,
  /** Entries of all layers, and folders that none of them names. */
  entries: 1_000_000,
  /** Of names, targets of links and extended attributes, all of them together. */
  textBytes: 256 * 2 ** 20,
  /** Of all layers once they are unpacked. */
  bytes: 256 * 2 ** 30,
  /** Of the config. */
  configBytes: 4 * 2 ** 20,
  /** Of what its first program reads of it (packages/agent/src/init.c). */
  mainBytes: 2 ** 20,
}
export type ContainerLimits = typeof CONTAINER_LIMITS

export function beyond(what: string, limit: number, of: string): OvmError {
  return new OvmError("OVM_TOO_LARGE", `${what}: there are more than ${limit} ${of}`, { detail: { limit } })
}

export function fault(what: string, reason: string): OvmError {
  return new OvmError("OVM_ARTIFACT_INVALID", `${what}: ${reason}`)
}

/** A name in a message: none of its bytes does anything to a terminal. */
export function quotedName(name: string): string {
  const text = JSON.stringify(Buffer.from(name, "latin1").toString("utf8"))
  return text.length > 200 ? `${text.slice(0, 200)}…"` : text
}
