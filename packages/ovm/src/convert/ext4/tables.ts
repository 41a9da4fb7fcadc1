import type { NewDisk } from "../../disk/new-disk.ts"
import { putIntoInode } from "./attributes.ts"
import { BLOCK_BYTES, type Geometry, INODE_BYTES, JOURNAL_BLOCKS, JOURNAL_INODE } from "./geometry.ts"
import { inodeOf } from "./inode.ts"
import { Node } from "./node.ts"
import { Placing } from "./placing.ts"

/** Writes the inodes, and what says where large files are. Returns the first free block and the journal's inode. */
export function writeTables(
  disk: NewDisk,
  geometry: Geometry,
  all: readonly Node[],
): { readonly next: number; readonly journal: Uint8Array } {
  const placing = new Placing(geometry)
  const { inodesPerGroup, inodeTables } = geometry
  const put = (inode: number, bytes: Uint8Array) => {
    const group = Math.floor((inode - 1) / inodesPerGroup)
    const within = (inode - 1) % inodesPerGroup
    disk.write((inodeTables[group] ?? 0) * BLOCK_BYTES + within * INODE_BYTES, bytes)
  }
  const journal = inodeOf(journalNode(), 1, {
    runs: placing.journal,
    leaves: [],
    attributes: 0,
    size: JOURNAL_BLOCKS * BLOCK_BYTES,
  }).bytes
  const late: { readonly at: number; readonly bytes: Uint8Array }[] = []
  // The root has a lower number than the journal, and comes first of all.
  for (const node of all) {
    const placed = placing.place(node)
    const { bytes, leaves } = inodeOf(node, linksOf(node), placed)
    if (node.attributes && placed.attributes === 0) putIntoInode(bytes, node.attributes)
    put(node.inode, bytes)
    if (node === all[0]) put(JOURNAL_INODE, journal)
    for (const [index, leaf] of leaves.entries())
      late.push({ at: (placed.leaves[index] ?? 0) * BLOCK_BYTES, bytes: leaf })
  }
  for (const { at, bytes } of late) disk.write(at, bytes)
  return { next: placing.next, journal }
}

function journalNode(): Node {
  const node = new Node("file")
  node.mode = 0o600
  return node
}

/** A folder is named by itself and by each that is in it, too. */
function linksOf({ children, names }: Node): number {
  if (!children) return names
  let links = 2
  for (const child of children.values()) if (child.children) links++
  return links
}
