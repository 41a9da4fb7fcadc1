import { Allocator } from "./allocator.ts"
import { attributeBlock, putIntoInode } from "./attributes.ts"
import { directoryBlocks } from "./directory.ts"
import { leavesFor } from "./extents.ts"
import { BLOCK_BYTES, type BlockRun, type Geometry, INODE_BYTES, JOURNAL_BLOCKS } from "./geometry.ts"
import { type Placed, SHORT_TARGET } from "./inode.ts"
import type { Node } from "./node.ts"

/** Bytes of what a node has in blocks of its own. */
export function sizeOf(node: Node): number {
  if (node.kind === "file") return node.content.size
  if (node.kind === "folder") return directoryBlocks(node) * BLOCK_BYTES
  return node.kind === "link" ? node.target.length : 0
}

/** Blocks that all of it takes, besides those that say where it is. */
export function blocksOf(node: Node): number {
  const size = sizeOf(node)
  const short = node.kind === "link" && size <= SHORT_TARGET
  return (short ? 0 : Math.ceil(size / BLOCK_BYTES)) + (needsBlock(node) ? 1 : 0)
}

/**
 * Where each node is, which is the same each time that they are gone through in the same order: nothing of it is kept.
 */
export class Placing {
  readonly #allocator: Allocator
  readonly journal: readonly BlockRun[]

  constructor(geometry: Geometry) {
    this.#allocator = new Allocator(geometry)
    this.journal = this.#allocator.take(JOURNAL_BLOCKS)
  }

  /** The first block that nothing is in yet. */
  get next(): number {
    return this.#allocator.next
  }

  place(node: Node): Placed {
    const attributes = needsBlock(node) ? this.#one() : 0
    const runs = this.#allocator.take(blocksOf(node) - (attributes === 0 ? 0 : 1))
    const leaves = Array.from({ length: leavesFor(runs.length) }, () => this.#one())
    return { runs, leaves, attributes, size: sizeOf(node) }
  }

  #one(): number {
    return this.#allocator.take(1)[0]?.start ?? 0
  }
}

function needsBlock({ attributes }: Node): boolean {
  return attributes !== undefined && !putIntoInode(new Uint8Array(INODE_BYTES), attributes)
}

/** Whether a node's attributes have room anywhere. */
export function hasRoom(attributes: ReadonlyMap<string, string>): boolean {
  return attributeBlock(attributes) !== undefined
}
