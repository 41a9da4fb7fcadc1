import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"

/**
 * JSON with members in the order of their names' UTF-16 code units and no white space (as RFC 8785), so that the same
 * value has the same bytes on every machine. Members that are undefined are left out.
 */
export function canonicalJson(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(sorted(value)))
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

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, member]) => [name, sorted(member)]))
}
