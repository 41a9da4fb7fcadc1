import { setImmediate } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"
import { type NewDisk, writeQcow2 } from "../../disk/new-disk.ts"
import { OvmError } from "../../errors.ts"
import { attributeBlock } from "./attributes.ts"
import { directory } from "./directory.ts"
import {
  BLOCK_BYTES,
  type BlockRun,
  FIRST_INODE,
  type Geometry,
  geometryFor,
  JOURNAL_BLOCKS,
} from "./geometry.ts"
import { writeHead } from "./head.ts"
import type { Node, StoredContent } from "./node.ts"
import { blocksOf, Placing } from "./placing.ts"
import { journalSuperblock } from "./superblock.ts"
import { survey } from "./survey.ts"
import { writeTables } from "./tables.ts"

/** Where the content of files is read. */
export interface Contents {
  /** Fills `into` with what is at byte `at`. */
  read(at: number, into: Uint8Array): void
}

export interface FileSystem {
  /** Of the file system, at least; it has as much more as its content needs. */
  readonly bytes: number
  /** 16 bytes. */
  readonly uuid: Uint8Array
  /** When it was made, as it says itself: seconds since 1970. */
  readonly made: number
}

/** Bytes of content that are read at once. */
const PIECE = 512 * 1024
/** Bytes after which others get their turn. */
const TURN = 16 * 2 ** 20

/**
 * Makes the new file `path` a qcow2 with one ext4 file system and nothing else, which has the tree below `root`. The
 * same tree gives the same bytes. Throws OVM_INTERRUPTED, OVM_NO_SPACE.
 */
export async function writeExt4(
  path: string,
  root: Node,
  contents: Contents,
  options: FileSystem & Call,
): Promise<void> {
  const all = survey(root)
  const blocks = all.reduce((sum, node) => sum + blocksOf(node), JOURNAL_BLOCKS)
  const inodes = all.length + FIRST_INODE
  // Room for what says where large files are, and to work in.
  const geometry = geometryFor(inodes + (inodes >> 2), blocks + (blocks >> 3) + 1024, options.bytes)
  await writeQcow2(path, geometry.blocks * BLOCK_BYTES, async (disk) => {
    await writeContents(disk, { geometry, all, contents, ...options })
    writeHead(disk, geometry, { ...writeTables(disk, geometry, all), all, ...options })
  })
}

interface Job extends Call {
  readonly geometry: Geometry
  readonly all: readonly Node[]
  readonly contents: Contents
}

/** What has blocks of its own. */
async function writeContents(disk: NewDisk, { geometry, all, contents, signal }: Job): Promise<void> {
  const placing = new Placing(geometry)
  disk.write((placing.journal[0]?.start ?? 0) * BLOCK_BYTES, journalSuperblock(JOURNAL_BLOCKS))
  const buffer = Buffer.allocUnsafe(PIECE)
  let since = 0
  for (const node of all) {
    const { attributes, runs, size } = placing.place(node)
    const block = attributes === 0 ? undefined : attributeBlock(node.attributes ?? new Map())
    if (block) disk.write(attributes * BLOCK_BYTES, block)
    if (node.kind === "file") pour(disk, runs, node.content, { contents, buffer })
    else if (runs.length > 0) spread(disk, runs, ownBytes(node))
    since += BLOCK_BYTES + size
    if (since < TURN) continue
    since = 0
    await setImmediate()
    if (signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "interrupted")
  }
}

function ownBytes(node: Node): Buffer {
  if (node.kind === "folder") return directory(node)
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(node.target, "latin1")
  return block
}

function spread(disk: NewDisk, runs: readonly BlockRun[], bytes: Uint8Array): void {
  let at = 0
  for (const { start, length } of runs) {
    disk.write(start * BLOCK_BYTES, bytes.subarray(at, at + length * BLOCK_BYTES))
    at += length * BLOCK_BYTES
  }
}

function pour(
  disk: NewDisk,
  runs: readonly BlockRun[],
  { at, size }: StoredContent,
  { contents, buffer }: { readonly contents: Contents; readonly buffer: Buffer },
): void {
  let done = 0
  for (const { start, length } of runs) {
    const end = Math.min(size, done + length * BLOCK_BYTES)
    for (let to = start * BLOCK_BYTES; done < end; ) {
      const bytes = Math.min(PIECE, end - done)
      const whole = Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES
      contents.read(at + done, buffer.subarray(0, bytes))
      disk.write(to, buffer.fill(0, bytes, whole).subarray(0, whole))
      to += bytes
      done += bytes
    }
  }
}
