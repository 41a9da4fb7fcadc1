import { BLOCK_BYTES, FIRST_INODE, type Geometry, INODE_BYTES, JOURNAL_INODE, PER_GROUP } from "./geometry.ts"

const COMPATIBLE = { journal: 0x4, attributes: 0x8, directoryIndex: 0x20 }
const INCOMPATIBLE = { fileTypes: 0x2, extents: 0x40, flexibleGroups: 0x200 }
const READ_ONLY = { sparseSuper: 0x1, largeFile: 0x2, hugeFile: 0x8, folderLinks: 0x20, extraSize: 0x40 }
const sum = (features: Readonly<Record<string, number>>) =>
  Object.values(features).reduce((all, one) => all | one, 0)

export interface Filled {
  readonly freeBlocks: number
  readonly freeInodes: number
  /** 16 bytes. */
  readonly uuid: Uint8Array
  /** When it was made: seconds since 1970. */
  readonly made: number
  /** The inode of the journal, a part of which stands here as well. */
  readonly journal: Uint8Array
}

/** The superblock, or its copy in `group`: 1024 bytes. */
export function superblock(geometry: Geometry, filled: Filled, group: number): Uint8Array {
  const bytes = new Uint8Array(1024)
  const view = new DataView(bytes.buffer)
  const word = (at: number, value: number) => view.setUint32(at, value, true)
  const half = (at: number, value: number) => view.setUint16(at, value, true)
  word(0x00, geometry.groups * geometry.inodesPerGroup)
  word(0x04, geometry.blocks)
  word(0x0c, filled.freeBlocks)
  word(0x10, filled.freeInodes)
  word(0x18, Math.log2(BLOCK_BYTES) - 10)
  word(0x1c, Math.log2(BLOCK_BYTES) - 10)
  word(0x20, PER_GROUP)
  word(0x24, PER_GROUP)
  word(0x28, geometry.inodesPerGroup)
  word(0x30, filled.made)
  half(0x36, 0xffff) // no check after so many mounts
  half(0x38, 0xef53)
  half(0x3a, 1) // clean
  half(0x3c, 1) // goes on after errors
  word(0x40, filled.made)
  word(0x4c, 1) // revision
  word(0x54, FIRST_INODE)
  half(0x58, INODE_BYTES)
  half(0x5a, group)
  word(0x5c, sum(COMPATIBLE))
  word(0x60, sum(INCOMPATIBLE))
  word(0x64, sum(READ_ONLY))
  bytes.set(filled.uuid, 0x68)
  word(0xe0, JOURNAL_INODE)
  bytes.set(filled.uuid, 0xec) // seed of the hashes of names
  bytes[0xfc] = 1 // half MD4
  bytes[0xfd] = 1 // of the journal's inode the places are here, too
  word(0x100, 0xc) // attributes of users, access control lists
  word(0x108, filled.made)
  bytes.set(filled.journal.subarray(0x28, 0x28 + 60), 0x10c)
  bytes.set(filled.journal.subarray(0x6c, 0x70), 0x10c + 60)
  bytes.set(filled.journal.subarray(4, 8), 0x10c + 64)
  half(0x15c, 32)
  half(0x15e, 32)
  word(0x160, 1) // hashes of signed characters
  bytes[0x174] = 4 // 16 groups go together
  return bytes
}

/** The block that a journal that has never been used begins with. */
export function journalSuperblock(blocks: number): Uint8Array {
  const bytes = new Uint8Array(BLOCK_BYTES)
  const view = new DataView(bytes.buffer)
  const words: readonly (readonly [number, number])[] = [
    [0x00, 0xc03b3998],
    [0x04, 4],
    [0x0c, BLOCK_BYTES],
    [0x10, blocks],
    [0x14, 1], // the first block of its log
    [0x18, 1], // the first number that is expected there
    [0x40, 1], // users
  ]
  for (const [at, value] of words) view.setUint32(at, value)
  return bytes
}
