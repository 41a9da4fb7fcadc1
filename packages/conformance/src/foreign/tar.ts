type Pair = readonly [key: string, value: string]

/** An entry of an archive. Names have a byte in each character. */
export interface TarEntry {
  readonly name: string
  /** `type` of the header: one character; a file, or a folder if the name ends in a slash. */
  readonly type?: string
  readonly content?: string | Uint8Array
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  /** Seconds. */
  readonly time?: number
  readonly device?: readonly [number, number]
  /** Records of a pax header before it; as pairs where a key is there several times. */
  readonly pax?: Readonly<Record<string, string>> | readonly Pair[]
}

/** The archive of these, with its end. */
export function archiveOf(entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(membersOf), Buffer.alloc(1024)])
}

const isPairs = (pax: NonNullable<TarEntry["pax"]>): pax is readonly Pair[] => Array.isArray(pax)

function membersOf(entry: TarEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? "")
  const { pax: more = {} } = entry
  const long: [string, string][] = entry.name.length > 100 ? [["path", entry.name]] : []
  const records = [...long, ...(isPairs(more) ? more : Object.entries(more))]
  const pax = Buffer.concat(records.map(([key, value]) => record(key, value)))
  return [
    ...(records.length > 0 ? [header({ name: "pax", type: "x" }, pax.length), padded(pax)] : []),
    header(entry, content.length),
    padded(content),
  ]
}

function header(entry: TarEntry, size: number): Buffer {
  const { name, type = name.endsWith("/") ? "5" : "0", mode = type === "5" ? 0o755 : 0o644 } = entry
  const block = Buffer.alloc(512)
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1")
  block.write(name, 0, 100, "latin1")
  octal(mode, 100, 8)
  octal(entry.uid ?? 0, 108, 8)
  octal(entry.gid ?? 0, 116, 8)
  octal(size, 124, 12)
  octal(entry.time ?? 0, 136, 12)
  block.write("        ", 148)
  block.write(type, 156)
  block.write(entry.link ?? "", 157, 100, "latin1")
  block.write("ustar\x0000", 257)
  octal(entry.device?.[0] ?? 0, 329, 8)
  octal(entry.device?.[1] ?? 0, 337, 8)
  const sum = block.reduce((all, byte) => all + byte, 0)
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}

function record(key: string, value: string): Buffer {
  const rest = key.length + value.length + 3
  let length = rest
  while (length !== rest + `${length}`.length) length = rest + `${length}`.length
  return Buffer.from(`${length} ${key}=${value}\n`, "latin1")
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc(-content.length & 511)])
}
