import type { NewDisk } from "../../disk/new-disk.ts"
import { BLOCK_BYTES, copyBlocks, FIRST_INODE, type Geometry, hasCopy, PER_GROUP } from "./geometry.ts"
import type { Node } from "./node.ts"
import { type Filled, superblock } from "./superblock.ts"

const DESCRIPTOR = 32

interface Used extends Pick<Filled, "uuid" | "made" | "journal"> {
  readonly all: readonly Node[]
  /** The first block that nothing is in: all before it are used. */
  readonly next: number
}

/** Writes what says which blocks and inodes are used, and where that stands, with its copies. */
export function writeHead(disk: NewDisk, geometry: Geometry, { all, next, ...filled }: Used): void {
  const { groups, inodesPerGroup } = geometry
  const folders = foldersByGroup(geometry, all)
  const lastInode = FIRST_INODE + all.length - 2
  const descriptors = Buffer.alloc(geometry.descriptorBlocks * BLOCK_BYTES)
  const inodesIn = (group: number) => clamp(lastInode - group * inodesPerGroup, inodesPerGroup)
  let [freeBlocks, freeInodes] = [0, 0]
  for (let group = 0; group < groups; group++) {
    const { bits, free } = blocksIn(geometry, group, next)
    disk.write((geometry.blockBitmaps + group) * BLOCK_BYTES, bits)
    const at = group * DESCRIPTOR
    descriptors.writeUInt32LE(geometry.blockBitmaps + group, at)
    descriptors.writeUInt32LE(geometry.inodeBitmaps + group, at + 4)
    descriptors.writeUInt32LE(geometry.inodeTables[group] ?? 0, at + 8)
    descriptors.writeUInt16LE(free, at + 12)
    descriptors.writeUInt16LE(inodesPerGroup - inodesIn(group), at + 14)
    descriptors.writeUInt16LE(folders[group] ?? 0, at + 16)
    freeBlocks += free
    freeInodes += inodesPerGroup - inodesIn(group)
  }
  for (let group = 0; group < groups; group++)
    disk.write((geometry.inodeBitmaps + group) * BLOCK_BYTES, bitmap(inodesIn(group), inodesPerGroup))
  for (let group = 0; group < groups; group++) {
    if (!hasCopy(group)) continue
    const first = group * PER_GROUP * BLOCK_BYTES
    const block = superblock(geometry, { freeBlocks, freeInodes, ...filled }, group)
    disk.write(first + (group === 0 ? block.length : 0), block)
    disk.write(first + BLOCK_BYTES, descriptors)
  }
}

/** Which blocks of a group are used, those from `next` on being free but for a copy. */
function blocksIn(
  geometry: Geometry,
  group: number,
  next: number,
): { readonly bits: Uint8Array; readonly free: number } {
  const first = group * PER_GROUP
  const used = Math.max(copyBlocks(geometry, group), clamp(next - first, PER_GROUP))
  const bits = bitmap(used, PER_GROUP)
  let free = PER_GROUP - used
  for (const { start, length } of geometry.gaps)
    for (let block = Math.max(start, first); block < Math.min(start + length, first + PER_GROUP); block++) {
      const at = (block - first) >> 3
      bits[at] = (bits[at] ?? 0) & ~(1 << (block & 7))
      free++
    }
  return { bits, free }
}

/** A block whose first `used` bits are set, and those from `size` on, which stand for nothing. */
function bitmap(used: number, size: number): Uint8Array {
  const bits = new Uint8Array(BLOCK_BYTES)
  bits.fill(0xff, 0, used >> 3)
  if (used & 7) bits[used >> 3] = (1 << (used & 7)) - 1
  bits.fill(0xff, size >> 3)
  return bits
}

function foldersByGroup({ groups, inodesPerGroup }: Geometry, all: readonly Node[]): number[] {
  const counts = new Array<number>(groups).fill(0)
  for (const { inode, children } of all) {
    const group = Math.floor((inode - 1) / inodesPerGroup)
    if (children) counts[group] = (counts[group] ?? 0) + 1
  }
  return counts
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(value, 0), most)
}
