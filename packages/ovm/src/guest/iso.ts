/** A file of an image: its name, with which guests find it, and its content. */
export interface IsoFile {
  readonly name: string
  readonly content: Uint8Array
}

const SECTOR = 2048

/** Where things are, in sectors. Every directory and every path table fits into one. */
const PRIMARY = 16
const JOLIET = 17
const TERMINATOR = 18
const TABLE = 19
const JOLIET_TABLE = 21
const ROOT = 23
const JOLIET_ROOT = 24
const CONTENT = 25

const FILE_MODE = 0o100444
const FOLDER_MODE = 0o040555

/**
 * An ISO 9660 image (ECMA-119) with `files` in its root, whose names guests see as they are: by Rock Ridge (SUSP 1.12,
 * RRIP 1.12) on Linux and BSD, by Joliet elsewhere. Equal input makes equal bytes. For a few small files with short
 * names: throws RangeError where their list does not fit one sector.
 */
export function isoImage(label: string, files: readonly IsoFile[]): Uint8Array {
  const placed = place(files)
  const end = placed.reduce((at, { content }) => at + sectors(content.length), CONTENT)
  const image = new Uint8Array(end * SECTOR)
  const put = (sector: number, bytes: Uint8Array) => image.set(bytes, sector * SECTOR)
  put(PRIMARY, descriptor({ joliet: false, label, end }))
  put(JOLIET, descriptor({ joliet: true, label, end }))
  put(TERMINATOR, bytesOf([255], ascii("CD001"), [1]))
  for (const [sector, root] of [
    [TABLE, ROOT],
    [JOLIET_TABLE, JOLIET_ROOT],
  ] as const) {
    put(sector, bytesOf([1, 0], u32(root, "le"), u16(1, "le"), [0, 0]))
    put(sector + 1, bytesOf([1, 0], u32(root, "be"), u16(1, "be"), [0, 0]))
  }
  put(ROOT, directory(ROOT, placed, false))
  put(JOLIET_ROOT, directory(JOLIET_ROOT, placed, true))
  for (const { at, content } of placed) put(at, content)
  return image
}

interface Placed extends IsoFile {
  readonly at: number
}

function place(files: readonly IsoFile[]): readonly Placed[] {
  let at = CONTENT
  return files.map((file) => {
    const placed = { ...file, at }
    at += sectors(file.content.length)
    return placed
  })
}

/** ECMA-119, 8.4 and 8.5. */
function descriptor({ joliet, label, end }: { joliet: boolean; label: string; end: number }): Uint8Array {
  const text = (value: string, length: number) => (joliet ? ucs2(value, length) : padded(value, length))
  const root = joliet ? JOLIET_ROOT : ROOT
  const table = joliet ? JOLIET_TABLE : TABLE
  return bytesOf(
    [joliet ? 2 : 1],
    ascii("CD001"),
    [1, 0],
    text("", 32),
    text(label, 32),
    zeros(8),
    both32(end),
    // The level of UCS-2 (Joliet, "Escape Sequence").
    joliet ? bytesOf(ascii("%/E"), zeros(29)) : zeros(32),
    both16(1),
    both16(1),
    both16(SECTOR),
    both32(PATH_TABLE_BYTES),
    u32(table, "le"),
    zeros(4),
    u32(table + 1, "be"),
    zeros(4),
    record({ name: [0], at: root, size: SECTOR, folder: true }),
    text("", 128 * 4),
    text("", 37 * 3),
    ...Array.from({ length: 4 }, () => bytesOf(ascii("0".repeat(16)), [0])),
    [1],
  )
}

const PATH_TABLE_BYTES = 10

function directory(self: number, files: readonly Placed[], joliet: boolean): Uint8Array {
  const folder = { at: self, size: SECTOR, folder: true }
  const own = joliet ? [] : bytesOf(SHARING, attributes(FOLDER_MODE, 2), ROCK_RIDGE)
  const parent = joliet ? [] : attributes(FOLDER_MODE, 2)
  // In the order of their names, as ECMA-119, 9.3 has them.
  const sorted = files.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const bytes = bytesOf(
    record({ ...folder, name: [0], more: own }),
    record({ ...folder, name: [1], more: parent }),
    ...sorted.map(({ name, at, content }, index) =>
      record({
        name: joliet ? ucs2(name, name.length * 2) : ascii(`F${index}.;1`),
        at,
        size: content.length,
        more: joliet ? [] : bytesOf(attributes(FILE_MODE, 1), alternateName(name)),
      }),
    ),
  )
  if (bytes.length > SECTOR) throw new RangeError(`the list of ${files.length} files is longer than a sector`)
  return bytes
}

/** ECMA-119, 9.1. Times are left open. */
function record(entry: {
  readonly name: ArrayLike<number>
  readonly at: number
  readonly size: number
  readonly folder?: boolean
  readonly more?: ArrayLike<number>
}): Uint8Array {
  const { name, at, size, folder = false, more = [] } = entry
  const body = bytesOf(
    [0],
    both32(at),
    both32(size),
    zeros(7),
    [folder ? 2 : 0, 0, 0],
    both16(1),
    [name.length],
    name,
    zeros(name.length % 2 === 0 ? 1 : 0),
    more,
  )
  const length = body.length + 1 + ((body.length + 1) % 2)
  if (length > 255) throw new RangeError("a file's name is too long")
  return bytesOf([length], body, zeros(length - body.length - 1))
}

/** SUSP, SP: there are such entries. */
const SHARING = bytesOf(ascii("SP"), [7, 1, 0xbe, 0xef, 0])
/** SUSP, ER: and they are those of Rock Ridge. */
const ROCK_RIDGE = bytesOf(ascii("ER"), [18, 1, 10, 0, 0, 1], ascii("RRIP_1991A"))

/** RRIP, PX: mode and links; owned by root. */
function attributes(mode: number, links: number): Uint8Array {
  return bytesOf(ascii("PX"), [36, 1], both32(mode), both32(links), both32(0), both32(0))
}

/** RRIP, NM. */
function alternateName(name: string): Uint8Array {
  return bytesOf(ascii("NM"), [5 + name.length, 1, 0], ascii(name))
}

const sectors = (bytes: number) => Math.ceil(bytes / SECTOR)
const zeros = (length: number) => new Uint8Array(length)

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

const padded = (text: string, length: number) => ascii(text.padEnd(length))

function ucs2(text: string, length: number): Uint8Array {
  const characters = text.padEnd(Math.floor(length / 2))
  const bytes = Uint8Array.from(characters, () => 0)
  const all = bytesOf(...Array.from(bytes, (_, at) => u16(characters.charCodeAt(at), "be")))
  return bytesOf(all, zeros(length - all.length))
}

function u16(value: number, order: "le" | "be"): number[] {
  const bytes = [value & 0xff, value >> 8]
  return order === "le" ? bytes : bytes.reverse()
}

function u32(value: number, order: "le" | "be"): number[] {
  const bytes = [value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, value >>> 24]
  return order === "le" ? bytes : bytes.reverse()
}

/** In both orders of bytes, one after the other (ECMA-119, 7.2.3 and 7.3.3). */
const both16 = (value: number) => bytesOf(u16(value, "le"), u16(value, "be"))
const both32 = (value: number) => bytesOf(u32(value, "le"), u32(value, "be"))

function bytesOf(...parts: readonly ArrayLike<number>[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
