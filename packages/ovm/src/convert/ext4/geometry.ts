// Linux: Documentation/filesystems/ext4. Blocks of 4 KiB; all bitmaps and inode tables stand together at the beginning,
// so that the rest is in one piece.

/** Blocks one after the other. */
export interface BlockRun {
  readonly start: number
  readonly length: number
}

export const BLOCK_BYTES = 4096
export const PER_GROUP = BLOCK_BYTES * 8
export const GROUP_BYTES = PER_GROUP * BLOCK_BYTES
export const INODE_BYTES = 256
export const ROOT_INODE = 2
export const JOURNAL_INODE = 8
/** The first one that is not reserved. */
export const FIRST_INODE = 11
/** 16 MiB. */
export const JOURNAL_BLOCKS = 4096

const DESCRIPTOR_BYTES = 32
const USUAL_INODES = 8192
const INODES_STEP = BLOCK_BYTES / INODE_BYTES

/** Where things are in a file system of `groups` groups. Block numbers, and numbers of blocks. */
export interface Geometry {
  readonly groups: number
  readonly blocks: number
  readonly inodesPerGroup: number
  readonly descriptorBlocks: number
  readonly blockBitmaps: number
  readonly inodeBitmaps: number
  /** Of each group. */
  readonly inodeTables: readonly number[]
  readonly tableBlocks: number
  /** That are before the first one for content, and free: a table is in one piece. */
  readonly gaps: readonly BlockRun[]
  /** The first one for content. */
  readonly content: number
}

/** For at least so many inodes and blocks of content, in at least `bytes`. */
export function geometryFor(inodes: number, contentBlocks: number, bytes: number): Geometry {
  for (let groups = Math.max(1, Math.ceil(bytes / GROUP_BYTES)); ; groups++) {
    const perGroup = Math.max(USUAL_INODES, Math.ceil(inodes / groups / INODES_STEP) * INODES_STEP)
    if (perGroup > PER_GROUP) continue
    const found = geometryOf(groups, perGroup)
    const copies = copiesIn(found) * (1 + found.descriptorBlocks)
    if (found.content + copies + contentBlocks <= found.blocks) return found
  }
}

function geometryOf(groups: number, inodesPerGroup: number): Geometry {
  const descriptorBlocks = Math.ceil((groups * DESCRIPTOR_BYTES) / BLOCK_BYTES)
  const tableBlocks = (inodesPerGroup * INODE_BYTES) / BLOCK_BYTES
  const blockBitmaps = 1 + descriptorBlocks
  const inodeBitmaps = blockBitmaps + groups
  const inodeTables: number[] = []
  const gaps: BlockRun[] = []
  let next = inodeBitmaps + groups
  for (let group = 0; group < groups; group++) {
    const copy = Math.floor((next + tableBlocks - 1) / PER_GROUP)
    const behind = copy * PER_GROUP + 1 + descriptorBlocks
    if (copy > 0 && hasCopy(copy) && next < behind) {
      if (next < copy * PER_GROUP) gaps.push({ start: next, length: copy * PER_GROUP - next })
      next = behind
    }
    inodeTables.push(next)
    next += tableBlocks
  }
  return {
    groups,
    blocks: groups * PER_GROUP,
    inodesPerGroup,
    descriptorBlocks,
    blockBitmaps,
    inodeBitmaps,
    inodeTables,
    tableBlocks,
    gaps,
    content: next,
  }
}

/** Whether a group begins with a copy of the superblock and the descriptors: 0, 1, and powers of 3, 5 and 7. */
export function hasCopy(group: number): boolean {
  return group <= 1 || [3, 5, 7].some((base) => isPower(group, base))
}

function isPower(value: number, base: number): boolean {
  let power = base
  while (power < value) power *= base
  return power === value
}

function copiesIn({ groups }: Geometry): number {
  let copies = 0
  for (let group = 1; group < groups; group++) if (hasCopy(group)) copies++
  return copies
}

/** Blocks at the beginning of a group that a copy takes. */
export function copyBlocks(geometry: Geometry, group: number): number {
  return hasCopy(group) ? 1 + geometry.descriptorBlocks : 0
}
