import { OvmError } from "../../errors.ts"
import type { Bytes } from "../interfaces.ts"
import type { TarInput } from "./input.ts"
import {
  SPARSE_PREFIX,
  type Sparse,
  type SparseRecords,
  sparseOfHeader,
  sparseOfRecords,
  storedSize,
  withHoles,
} from "./sparse.ts"

// Own code and not a library: blobs are read at their offsets in the file without unpacking it, and an archive from
// elsewhere may do no more than name files (POSIX.1-2017: pax, "ustar Interchange Format").

export interface TarEntry {
  /** Relative, without `.` or `..`. */
  readonly name: string
  readonly size: number
  /** Where the content begins in the archive. */
  readonly offset: number
  readonly directory: boolean
  /** Of its permissions, those bits that chmod(1) calls 777. */
  readonly mode: number
  /** Of a file with holes: which pieces of it are at `offset`. */
  readonly sparse?: Sparse
  /** The content; what is not read is skipped when the iteration goes on. */
  content(): Bytes
}

/** What of an archive is taken besides files and folders. */
export interface TarTaken {
  /** Files with holes. */
  readonly sparse?: boolean
  /** Told of each symbolic link, whose target is as the archive has it. */
  link?(name: string, target: string): void
}

const BLOCK = 512
/** Of a long name or a pax header. */
const EXTRA_LIMIT = 64 * 1024
const ENTRY_LIMIT = 200_000

/**
 * The files and folders of an archive, in order. Throws OVM_ARTIFACT_INVALID, naming `what` and the entry: devices,
 * links and sparse files unless they are `taken`, paths that lead out of the archive, and an end before the end. With
 * `passOver`, what is neither file nor folder is told to that and left out.
 */
export async function* readTar(
  input: TarInput,
  what: string,
  passOver?: (message: string) => void,
  taken: TarTaken = {},
): AsyncIterable<TarEntry> {
  const fault = (reason: string) => new OvmError("OVM_ARTIFACT_INVALID", `${what}: ${reason}`)
  let given: Extra = {}
  for (let count = 0; ; count++) {
    if (count > ENTRY_LIMIT) throw fault(`it has more than ${ENTRY_LIMIT} entries`)
    const block = await input.read(BLOCK)
    if (block.byteLength < BLOCK) throw fault("it is cut short")
    if (block.every((byte) => byte === 0)) return
    const header = parseTarHeader(block)
    if (!header) throw fault(`what is at byte ${input.position - BLOCK} is not an entry of a tar archive`)
    const named = given.name ?? header.name
    if (header.size === undefined) throw fault(`${JSON.stringify(named)} has a size that is no number`)
    const size = given.size ?? header.size
    let end = input.position + size + padding(size)
    if (EXTRAS.includes(header.type)) {
      if (header.size > EXTRA_LIMIT) throw fault(`the name of an entry takes ${header.size} bytes`)
      const bytes = await input.read(header.size)
      if (bytes.byteLength < header.size) throw fault("it is cut short")
      if (header.type !== "g") given = { ...given, ...parseExtra(header.type, bytes) }
      await input.skip(padding(header.size))
      continue
    }
    const directory = header.type === "5"
    const began = input.position
    const sparse = taken.sparse ? await sparseOf(block, given.sparse, input) : undefined
    // The map is a part of what is stored, but where the header says it.
    const map = input.position - began
    const inside = given.sparse ? map : 0
    end += map - inside
    if (sparse === "damaged" || (sparse && storedSize(sparse) !== size - inside))
      throw fault(`${JSON.stringify(named)} has holes that are not where it says`)
    const name = sparse?.name ?? named
    const clean = cleanPath(name)
    if (taken.link && header.type === LINK && clean !== undefined) {
      taken.link(clean, given.link ?? header.link)
      given = {}
      if (!(await input.skip(end - input.position))) throw fault("it is cut short")
      continue
    }
    if (!sparse && (given.sparse || !(directory || FILES.includes(header.type)))) {
      const message = `${JSON.stringify(name)} is neither a file nor a folder`
      if (!passOver || given.sparse) throw fault(message)
      passOver(`${what}: ${message}, and is left out`)
      given = {}
      if (!(await input.skip(end - input.position))) throw fault("it is cut short")
      continue
    }
    if (clean === undefined) throw fault(`${JSON.stringify(name)} leads out of the archive`)
    given = {}
    const offset = input.position
    const { mode } = header
    const content = () =>
      sparse ? withHoles(sparse, (_, length) => exactly(input, length, fault)) : exactly(input, size, fault)
    const entry = { name: clean, offset, directory, mode, content }
    yield { ...entry, size: sparse?.size ?? size, ...(sparse && { sparse }) }
    if (!(await input.skip(end - input.position))) throw fault(`it is cut short in ${clean}`)
  }
}

const FILES = ["0", "\0", "7"]
const LINK = "2"
/** A file with holes, as GNU has it. */
const SPARSE = "S"

/** The holes of an entry that has some. */
async function sparseOf(
  block: Uint8Array,
  records: SparseRecords | undefined,
  input: TarInput,
): Promise<Sparse | "damaged" | undefined> {
  if (records) return (await sparseOfRecords(records, input)) ?? "damaged"
  if (block[156] !== SPARSE.charCodeAt(0)) return undefined
  return (await sparseOfHeader(block, { input, number })) ?? "damaged"
}

/** Headers that say something about the next entry: pax, pax for all, GNU's long names and targets of links. */
const EXTRAS = ["x", "g", "L", "K"]

interface Extra {
  readonly name?: string
  readonly link?: string
  readonly size?: number
  readonly sparse?: SparseRecords
}

interface TarHeader {
  readonly name: string
  /** Undefined where what is there is no size. */
  readonly size: number | undefined
  readonly type: string
  readonly mode: number
  /** Where a link leads. */
  readonly link: string
}

/** An entry's header; undefined if its checksum is not right. */
export function parseTarHeader(block: Uint8Array): TarHeader | undefined {
  const sum = block.reduce((all, byte, at) => all + (at >= 148 && at < 156 ? 32 : byte), 0)
  if (number(block.subarray(148, 156)) !== sum) return undefined
  const size = number(block.subarray(124, 136))
  const prefix = text(block.subarray(257, 263)) === "ustar" ? text(block.subarray(345, 500)) : ""
  const name = text(block.subarray(0, 100))
  const mode = (number(block.subarray(100, 108)) ?? 0) & 0o777
  const type = String.fromCharCode(block[156] ?? 0)
  const link = text(block.subarray(157, 257))
  return { name: prefix ? `${prefix}/${name}` : name, size, type, mode, link }
}

/** Octal digits, none of them for 0, or GNU's binary form for what they cannot say. */
function number(field: Uint8Array): number | undefined {
  if (field[0] === 0x80) {
    const value = field.subarray(1).reduce((all, byte) => all * 256 + byte, 0)
    return Number.isSafeInteger(value) ? value : undefined
  }
  const digits = text(field).trim()
  return /^[0-7]{0,12}$/.test(digits) ? Number.parseInt(digits || "0", 8) : undefined
}

function text(field: Uint8Array): string {
  const end = field.indexOf(0)
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end))
}

function parseExtra(type: string, bytes: Uint8Array): Extra {
  if (type === "L") return { name: text(bytes) }
  if (type === "K") return { link: text(bytes) }
  const found: { name?: string; link?: string; size?: number } = {}
  const sparse: [string, string][] = []
  for (let at = 0; at < bytes.byteLength; ) {
    const length = Number.parseInt(text(bytes.subarray(at, at + 12)), 10)
    if (!(length > 0)) break
    const record = new TextDecoder().decode(bytes.subarray(at, at + length))
    const [, key = "", value = ""] = /^\d+ ([^=]+)=(.*)\n$/s.exec(record) ?? []
    if (key === "path") found.name = value
    if (key === "linkpath") found.link = value
    if (key === "size" && /^\d{1,15}$/.test(value)) found.size = Number(value)
    if (key.startsWith(SPARSE_PREFIX)) sparse.push([key, value])
    at += length
  }
  return { ...found, ...(sparse.length > 0 && { sparse }) }
}

/** Undefined for a path that is absolute or leads upwards. */
function cleanPath(name: string): string | undefined {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".")
  return name.startsWith("/") || name.includes("\0") || parts.includes("..") ? undefined : parts.join("/")
}

async function* exactly(input: TarInput, size: number, fault: (reason: string) => OvmError): Bytes {
  let left = size
  for await (const chunk of input.content(size)) {
    left -= chunk.byteLength
    yield chunk
  }
  if (left > 0) throw fault("it is cut short")
}

/** Bytes up to the next block. */
export function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK
}

/** What a header says besides, in place of what it says unless told. */
export interface TarFacts {
  /** Permissions. */
  readonly mode?: number
  /** Seconds since 1970. */
  readonly time?: number
  /** One character of POSIX's list. */
  readonly type?: string
  /** Of a symbolic link: where it leads. */
  readonly link?: string
  /** Numbers; root unless told. */
  readonly owner?: { readonly user: number; readonly group: number }
}

/** The header of a file, or of a folder if `name` ends in a slash: root's, and no time unless told. */
export function tarHeader(name: string, size: number, facts: TarFacts = {}): Uint8Array {
  const directory = name.endsWith("/")
  const { mode = directory ? 0o755 : 0o644, time = 0, type = directory ? "5" : "0", link = "" } = facts
  const { user, group } = facts.owner ?? { user: 0, group: 0 }
  const block = Buffer.alloc(BLOCK)
  block.write(name, 0, 100)
  block.write(`${octal(mode, 7)}\0`, 100)
  writeOwner(block, user, 108)
  writeOwner(block, group, 116)
  if (size < 8 ** 11) block.write(`${octal(size, 11)}\0`, 124)
  else {
    block[124] = 0x80
    block.writeBigUInt64BE(BigInt(size), 128)
  }
  block.write(`${octal(time, 11)}\0`, 136)
  block.write("        ", 148)
  block.write(type, 156)
  block.write(link, 157, 100)
  block.write("ustar\x0000", 257)
  const sum = block.reduce((all, byte) => all + byte, 0)
  block.write(`${octal(sum, 6)}\0 `, 148)
  return block
}

/** Octal digits, or GNU's binary form for what they cannot say. */
function writeOwner(block: Buffer, id: number, at: number): void {
  if (id < 8 ** 7) block.write(`${octal(id, 7)}\0`, at)
  else {
    block[at] = 0x80
    block.writeUInt32BE(id, at + 4)
  }
}

/** What ends an archive. */
export const TAR_END = new Uint8Array(2 * BLOCK)

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0")
}
