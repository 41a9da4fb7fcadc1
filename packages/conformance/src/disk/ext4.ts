import { must } from "../check.ts"
import type { Disk } from "./qcow2.ts"

/** A file, folder or other entry as the file system has it. */
export interface Entry {
  readonly inode: number
  /** Type and permissions. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly links: number
  /** Of its modification, in seconds. */
  readonly time: number
  readonly size: number
  readonly device?: readonly [number, number]
  readonly attributes: Readonly<Record<string, string>>
  content(): Buffer
}

const EXTENTS = 0x80000
const PREFIXES: Readonly<Record<number, string>> = {
  1: "user.",
  2: "system.posix_acl_access",
  3: "system.posix_acl_default",
  4: "trusted.",
  6: "security.",
}

/** An ext4 file system without a partition around it, as far as a writer of root file systems uses it. */
export class Ext4 {
  readonly #block: number
  readonly #super: Buffer

  constructor(private readonly disk: Disk) {
    this.#super = disk.read(1024, 1024)
    must(this.#super.readUInt16LE(56) === 0xef53, "the disk has no ext4 file system at its beginning")
    this.#block = 1024 << this.#super.readUInt32LE(24)
  }

  /** Names in a folder, without `.` and `..`. */
  list(path: string): readonly string[] {
    return [...this.#names(this.at(path)).keys()].filter((name) => !/^\.\.?$/.test(name)).sort()
  }

  /** What is at the path, no link of which is followed; undefined if nothing is. */
  find(path: string): Entry | undefined {
    let entry: Entry | undefined = this.#inode(2)
    for (const part of path.split("/").filter(Boolean)) {
      const inode: number | undefined = entry && this.#names(entry).get(part)
      entry = inode === undefined ? undefined : this.#inode(inode)
    }
    return entry
  }

  /** The same; fails if there is nothing. */
  at(path: string): Entry {
    const found = this.find(path)
    must(found, `the file system has no ${path}`)
    return found
  }

  #names(folder: Entry): Map<string, number> {
    const names = new Map<string, number>()
    if (folder.mode >> 12 !== 4) return names
    const bytes = folder.content()
    for (let at = 0; at + 8 <= bytes.length; ) {
      const inode = bytes.readUInt32LE(at)
      const length = bytes.readUInt16LE(at + 4)
      if (length < 8) break
      const size = bytes.readUInt8(at + 6)
      if (inode !== 0 && size > 0) names.set(bytes.toString("latin1", at + 8, at + 8 + size), inode)
      at += length
    }
    return names
  }

  #inode(number: number): Entry {
    const perGroup = this.#super.readUInt32LE(40)
    const size = this.#super.readUInt16LE(88)
    const wide = this.#super.readUInt32LE(96) & 0x80 ? this.#super.readUInt16LE(254) : 32
    const first = this.#super.readUInt32LE(20)
    const group = Math.floor((number - 1) / perGroup)
    const described = this.disk.read((first + 1) * this.#block + group * wide, wide)
    const high = wide >= 64 ? described.readUInt32LE(40) : 0
    const table = high * 2 ** 32 + described.readUInt32LE(8)
    const bytes = this.disk.read(table * this.#block + ((number - 1) % perGroup) * size, size)
    return this.#entry(number, bytes)
  }

  #entry(inode: number, bytes: Buffer): Entry {
    const mode = bytes.readUInt16LE(0)
    const size = bytes.readUInt32LE(4) + bytes.readUInt32LE(108) * 2 ** 32
    const device =
      /^[26]$/.test(`${mode >> 12}`) && deviceOf(bytes.readUInt32LE(40) || bytes.readUInt32LE(44))
    return {
      inode,
      mode,
      size,
      uid: bytes.readUInt16LE(2) + bytes.readUInt16LE(120) * 65536,
      gid: bytes.readUInt16LE(24) + bytes.readUInt16LE(122) * 65536,
      links: bytes.readUInt16LE(26),
      time: bytes.readInt32LE(16),
      ...(device && { device }),
      attributes: this.#attributes(bytes),
      content: () => this.#content(bytes, size),
    }
  }

  #content(bytes: Buffer, size: number): Buffer {
    const link = bytes.readUInt16LE(0) >> 12 === 10
    if (link && size < 60) return bytes.subarray(40, 40 + size)
    must(bytes.readUInt32LE(32) & EXTENTS, "a file has no extents, which this suite does not read")
    const whole = Buffer.alloc(size)
    for (const [logical, physical, count] of this.#extents(bytes.subarray(40, 100))) {
      const at = logical * this.#block
      if (at < size)
        this.disk.read(physical * this.#block, Math.min(count * this.#block, size - at)).copy(whole, at)
    }
    return whole
  }

  *#extents(node: Buffer): Generator<readonly [number, number, number]> {
    must(node.readUInt16LE(0) === 0xf30a, "a file's extents are damaged")
    const leaf = node.readUInt16LE(6) === 0
    for (let at = 12; at < 12 + node.readUInt16LE(2) * 12; at += 12) {
      if (leaf) {
        const start = node.readUInt16LE(at + 6) * 2 ** 32 + node.readUInt32LE(at + 8)
        yield [node.readUInt32LE(at), start, node.readUInt16LE(at + 4)]
      } else {
        const below = node.readUInt16LE(at + 8) * 2 ** 32 + node.readUInt32LE(at + 4)
        yield* this.#extents(this.disk.read(below * this.#block, this.#block))
      }
    }
  }

  #attributes(bytes: Buffer): Record<string, string> {
    const found: Record<string, string> = {}
    const start = 128 + (bytes.length > 128 ? bytes.readUInt16LE(128) : 0)
    if (start + 4 < bytes.length && bytes.readUInt32LE(start) === 0xea020000)
      attributesIn(bytes.subarray(start + 4), 0, found)
    const block = bytes.readUInt32LE(104)
    if (block !== 0) attributesIn(this.disk.read(block * this.#block, this.#block), 32, found)
    return found
  }
}

function attributesIn(area: Buffer, first: number, into: Record<string, string>): void {
  for (let at = first; at + 16 <= area.length && area.readUInt32LE(at) !== 0; ) {
    const length = area.readUInt8(at)
    const prefix = PREFIXES[area.readUInt8(at + 1)] ?? ""
    const [offset, size] = [area.readUInt16LE(at + 2), area.readUInt32LE(at + 8)]
    const name = area.toString("latin1", at + 16, at + 16 + length)
    into[`${prefix}${name}`] = area.toString("latin1", offset, offset + size)
    at += 16 + Math.ceil(length / 4) * 4
  }
}

/** The older form has a byte of each, the newer one more of both. */
function deviceOf(number: number): readonly [number, number] {
  if (number < 65536) return [number >> 8, number & 255]
  return [(number >> 8) & 0xfff, (number & 255) | ((number >> 12) & 0xfff00)]
}
