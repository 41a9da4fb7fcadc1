import { readSync } from "node:fs"
import { digestMismatch } from "../content/verify.ts"
import { isZero } from "../files/zeros.ts"
import type { Codec } from "./codec.ts"
import { CHUNK, GUEST_PAGE } from "./format.ts"
import { malformedRam } from "./malformed.ts"
import { sha256Of, ZERO_DIGEST } from "./memory-digest.ts"
import { writeSparse } from "./sparse.ts"
import type { Compared, CompareTask, Compressed, CompressTask, Inflated, InflateTask } from "./tasks.ts"

// What a worker does with one task: a few chunks, so that its memory is a few chunks.

const chunk = Buffer.allocUnsafeSlow(CHUNK)
const other = Buffer.allocUnsafeSlow(CHUNK)
/** The digests of frames that were found to hold nothing but zeros: all but the first of them are free. */
const zeroFrames = new Set<string>()
const MOST_ZERO_FRAMES = 64

export function compressChunks(task: CompressTask, codec: Codec): Compressed {
  const frames: Uint8Array[] = []
  const zero: boolean[] = []
  const digests = new Uint8Array(32 * task.count)
  const chunkDigests = new Uint8Array(32 * task.count)
  for (let index = 0; index < task.count; index++) {
    readChunk(task.from, task.first + index)
    const empty = isZero(chunk)
    const frame = codec.compress(chunk, task.level)
    frames.push(frame)
    zero.push(empty)
    digests.set(sha256Of(frame), 32 * index)
    chunkDigests.set(empty ? ZERO_DIGEST : sha256Of(chunk), 32 * index)
  }
  const sizes = frames.map((frame) => frame.byteLength)
  return { frames: Buffer.concat(frames), sizes, zero, digests, chunkDigests }
}

export function compareChunks(task: CompareTask): Compared {
  const pages = CHUNK / GUEST_PAGE
  const map = new Uint8Array((task.count * pages) / 8)
  for (let index = 0; index < task.count; index++) {
    readChunk(task.from, task.first + index)
    readChunk(task.with, task.first + index, other)
    if (chunk.equals(other)) continue
    for (let page = 0; page < pages; page++) {
      const [from, to] = [page * GUEST_PAGE, (page + 1) * GUEST_PAGE]
      const bit = index * pages + page
      if (chunk.compare(other, from, to, from, to) !== 0)
        map[bit >> 3] = (map[bit >> 3] ?? 0) | (1 << (bit & 7))
    }
  }
  return { map }
}

function readChunk(fd: number, index: number, into = chunk): void {
  for (let got = 0; got < CHUNK; ) {
    const count = readSync(fd, into, got, CHUNK - got, index * CHUNK + got)
    if (count === 0) throw malformedRam("the file of RAM became shorter while it was read")
    got += count
  }
}

/** In the order of OVMS-SNP-061: digest, then the content, exact and as the flag says. */
export function inflateFrames(task: InflateTask, codec: Codec): Inflated {
  const chunkDigests = new Uint8Array(32 * task.sizes.length)
  let at = task.at
  for (const [index, size] of task.sizes.entries()) {
    const frame = readFrame(task.from, at, size)
    at += size
    const number = task.first + index
    const expected = Buffer.from(task.digests.subarray(32 * index, 32 * index + 32))
    if (!expected.equals(sha256Of(frame))) throw wrongFrame(number, expected, frame)
    const known = expected.toString("hex")
    const content = zeroFrames.has(known) ? undefined : codec.inflate(frame)
    const empty = content === undefined || isZero(content)
    if (empty !== task.zero[index])
      throw malformedRam(
        `chunk ${number} is ${empty ? "" : "not "}all zeros, against its flag`,
        "OVMS-SNP-061",
      )
    if (empty) {
      if (zeroFrames.size < MOST_ZERO_FRAMES) zeroFrames.add(known)
    } else writeSparse(task.to, content, number * CHUNK)
    chunkDigests.set(empty ? ZERO_DIGEST : sha256Of(content), 32 * index)
  }
  return { chunkDigests }
}

function wrongFrame(number: number, expected: Buffer, frame: Uint8Array) {
  const digest = `sha256:${expected.toString("hex")}` as const
  const found = `sha256:${Buffer.from(sha256Of(frame)).toString("hex")}` as const
  return digestMismatch({ digest, size: frame.byteLength }, found, `frame ${number} of the RAM`)
}

function readFrame(fd: number, at: number, size: number): Uint8Array {
  const frame = Buffer.allocUnsafe(size)
  for (let got = 0; got < size; ) {
    const count = readSync(fd, frame, got, size - got, at + got)
    if (count === 0) throw malformedRam("the blob became shorter while it was read")
    got += count
  }
  return frame
}
