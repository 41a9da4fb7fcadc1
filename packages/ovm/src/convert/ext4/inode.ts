import { writeExtents } from "./extents.ts"
import { type BlockRun, INODE_BYTES } from "./geometry.ts"
import type { Node, NodeKind } from "./node.ts"

const FORMATS: Readonly<Record<NodeKind, number>> = {
  pipe: 0o010000,
  character: 0o020000,
  folder: 0o040000,
  block: 0o060000,
  file: 0o100000,
  link: 0o120000,
}
const HAS_EXTENTS = 0x80000
const EXTRA_BYTES = 32
const PLACES = 0x28
/** Longer targets have a block. */
export const SHORT_TARGET = 59
/** Of folders in a folder, beyond which it says 1. */
const MOST_LINKS = 65000

/** Where what belongs to a node is. */
export interface Placed {
  readonly runs: readonly BlockRun[]
  /** Blocks that say where the runs are. */
  readonly leaves: readonly number[]
  /** The block of its attributes; 0 if it has none. */
  readonly attributes: number
  /** Of its content. Bytes. */
  readonly size: number
}

/** The inode of `node`, which has `links` names, and what stands in its leaves. */
export function inodeOf(
  node: Node,
  links: number,
  placed: Placed,
): { readonly bytes: Uint8Array; readonly leaves: readonly Uint8Array[] } {
  const view = new DataView(new ArrayBuffer(INODE_BYTES))
  const { runs, size } = placed
  view.setUint16(0, FORMATS[node.kind] | node.mode, true)
  view.setUint16(2, node.uid & 0xffff, true)
  view.setUint16(0x78, node.uid >>> 16, true)
  view.setUint16(0x18, node.gid & 0xffff, true)
  view.setUint16(0x7a, node.gid >>> 16, true)
  view.setUint32(4, size % 2 ** 32, true)
  view.setUint32(0x6c, Math.floor(size / 2 ** 32), true)
  times(view, node)
  view.setUint16(0x1a, links > MOST_LINKS ? 1 : links, true)
  const blocks = runs.reduce((sum, { length }) => sum + length, 0) + placed.leaves.length
  const sectors = (blocks + (placed.attributes === 0 ? 0 : 1)) * 8
  view.setUint32(0x1c, sectors % 2 ** 32, true)
  view.setUint16(0x74, Math.floor(sectors / 2 ** 32), true)
  view.setUint32(0x68, placed.attributes, true)
  view.setUint16(0x80, EXTRA_BYTES, true)
  const leaves = contentOf(view, node, placed)
  return { bytes: new Uint8Array(view.buffer), leaves }
}

function contentOf(view: DataView, node: Node, { runs, leaves }: Placed): readonly Uint8Array[] {
  if (node.kind === "character" || node.kind === "block") device(view, node.device)
  else if (node.kind === "link" && runs.length === 0)
    Buffer.from(view.buffer).write(node.target, PLACES, "latin1")
  else if (node.kind !== "pipe") {
    view.setUint32(0x20, HAS_EXTENTS, true)
    return writeExtents(view, PLACES, runs, leaves)
  }
  return []
}

/** All four of them are when it was changed last: nothing else is known that would be the same again. */
function times(view: DataView, { seconds, nanoseconds }: Node): void {
  const extra = (nanoseconds << 2) | (Math.floor((seconds + 2 ** 31) / 2 ** 32) & 3)
  for (const at of [0x08, 0x0c, 0x10, 0x90]) view.setInt32(at, seconds | 0, true)
  for (const at of [0x84, 0x88, 0x8c, 0x94]) view.setUint32(at, extra >>> 0, true)
}

function device(view: DataView, [major, minor]: readonly [number, number]): void {
  if (major < 256 && minor < 256) view.setUint32(PLACES, (major << 8) | minor, true)
  else view.setUint32(PLACES + 4, ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, true)
}
