import { BLOCK_BYTES } from "./geometry.ts"
import type { Node, NodeKind } from "./node.ts"

const HEAD = 8
/** `.` and `..`. */
const DOTS = 24
const TYPES: Readonly<Record<NodeKind, number>> = {
  file: 1,
  folder: 2,
  character: 3,
  block: 4,
  pipe: 5,
  link: 7,
}

function room(name: string): number {
  return HEAD + ((name.length + 3) & ~3)
}

/** How many blocks a folder takes. */
export function directoryBlocks({ children }: Node): number {
  let [blocks, left] = [1, BLOCK_BYTES - DOTS]
  for (const name of children?.keys() ?? []) {
    if (room(name) > left) {
      blocks++
      left = BLOCK_BYTES
    }
    left -= room(name)
  }
  return blocks
}

/** The blocks of a folder: each entry's length leads to the next one, and the last one's to the end of the block. */
export function directory(folder: Node): Buffer {
  const bytes = Buffer.alloc(directoryBlocks(folder) * BLOCK_BYTES)
  let [at, last, end] = [0, 0, BLOCK_BYTES]
  const put = (name: string, inode: number, type: number) => {
    if (at + room(name) > end) {
      bytes.writeUInt16LE(end - last, last + 4)
      at = end
      end += BLOCK_BYTES
    }
    bytes.writeUInt32LE(inode, at)
    bytes.writeUInt16LE(room(name), at + 4)
    bytes[at + 6] = name.length
    bytes[at + 7] = type
    bytes.write(name, at + HEAD, "latin1")
    last = at
    at += room(name)
  }
  put(".", folder.inode, TYPES.folder)
  put("..", (folder.parent ?? folder).inode, TYPES.folder)
  for (const [name, child] of folder.children ?? []) put(name, child.inode, TYPES[child.kind])
  bytes.writeUInt16LE(end - last, last + 4)
  return bytes
}
