import type { DiskReader } from "../file.ts"

/** The bytes by which files are told apart. */
export interface Sample {
  /** Of the file, in bytes. */
  readonly size: number
  /** Its first bytes: 4 KiB, or all that it has. */
  readonly head: Buffer
  /** Its last 512 bytes, or all that it has. */
  readonly tail: Buffer
  /** Up to `length` bytes from `at` on. */
  read(at: number, length: number): Promise<Buffer>
}

/** What a file may be, other than a raw disk. */
export interface Kind {
  /** With its article. */
  readonly name: string
  /** The command, or the words, that make of it what was meant; `path` is ready for a shell. */
  help(path: string): string
  is(sample: Sample): boolean
}

const HEAD = 4096
const TAIL = 512

export async function sampleOf(disk: DiskReader): Promise<Sample> {
  const read = async (at: number, length: number) => {
    const count = Math.max(0, Math.min(length, disk.size - at))
    const view = await disk.read(at, count, "the file")
    return Buffer.from(view.buffer, view.byteOffset, count)
  }
  const tailAt = Math.max(0, disk.size - TAIL)
  return { size: disk.size, head: await read(0, HEAD), tail: await read(tailAt, TAIL), read }
}

/** Whether `bytes` has exactly this at `at`: a text, one byte a character. */
export function has(bytes: Buffer, at: number, text: string): boolean {
  return bytes.length >= at + text.length && bytes.toString("latin1", at, at + text.length) === text
}

/** A little-endian number of 32 bits; -1 behind the end. */
export function le32(bytes: Buffer, at: number): number {
  return bytes.length >= at + 4 ? bytes.readUInt32LE(at) : -1
}

/** A big-endian number of 32 bits; -1 behind the end. */
export function be32(bytes: Buffer, at: number): number {
  return bytes.length >= at + 4 ? bytes.readUInt32BE(at) : -1
}

/** What a file is whose bytes are not those of a raw disk. */
export type Foreign = Pick<Kind, "name" | "help">
