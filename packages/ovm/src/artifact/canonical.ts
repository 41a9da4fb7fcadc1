import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"

/**
 * JSON with members in the order of their names' UTF-16 code units and no white space (as RFC 8785), so that the same
 * value has the same bytes on every machine. Members that are undefined are left out.
 */
export function canonicalJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(written(value))
}

/** Content in memory, with the descriptor that names it. */
export interface Document {
  readonly bytes: Uint8Array
  readonly descriptor: Descriptor
}

/** Bytes as they are, anything else as canonical JSON. */
export function documentOf(mediaType: string, value: unknown): Document {
  const bytes = value instanceof Uint8Array ? value : canonicalJson(value)
  return { bytes, descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength } }
}

/** Text by text: an object would have names that are numbers, such as "9" and "10", before all others. */
function written(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((member) => written(member ?? null)).join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const entries = Object.entries(value).filter(([, member]) => member !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, member]) => `${JSON.stringify(name)}:${written(member)}`).join()}}`
}
