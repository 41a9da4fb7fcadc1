import { padding, type TarFacts, tarHeader } from "./tar.ts"

/** What a header has room for, in bytes. */
const MOST_NAME = 100

/**
 * The header of something of any name, with a pax header before it where name or link are too long (POSIX.1-2017,
 * "pax Header Block").
 */
export function tarMember(name: string, size: number, facts: TarFacts): Uint8Array {
  const records = [
    ...(Buffer.byteLength(name) > MOST_NAME ? [record("path", name)] : []),
    ...(Buffer.byteLength(facts.link ?? "") > MOST_NAME ? [record("linkpath", facts.link ?? "")] : []),
  ]
  const header = tarHeader(name, size, { type: name.endsWith("/") ? "5" : "0", ...facts })
  if (records.length === 0) return header
  const bytes = Buffer.concat(records)
  const extra = tarHeader("pax", bytes.length, { type: "x" })
  return Buffer.concat([extra, bytes, new Uint8Array(padding(bytes.length)), header])
}

/** Its length, which counts its own digits, a name and a value. */
function record(key: string, value: string): Buffer {
  const rest = Buffer.byteLength(` ${key}=${value}\n`)
  let length = rest
  while (length !== rest + `${length}`.length) length = rest + `${length}`.length
  return Buffer.from(`${length} ${key}=${value}\n`)
}
