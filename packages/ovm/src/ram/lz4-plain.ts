import type { Bytes } from "../content/interfaces.ts"
import { headerLength, inflateBlock, LZ4_MAGIC, type Lz4Header, parseHeader, UNCOMPRESSED } from "./lz4.ts"
import { malformedRam } from "./malformed.ts"
import { ByteReader } from "./reader.ts"

const SKIPPABLE = 0x184d2a50
const LEGACY = 0x184c2102
/** How far a linked block may look back. */
const WINDOW = 65536

/**
 * The content of whatever LZ4 frames `content` has, block by block: at most 4 MiB at a time. Checksums are passed over:
 * the digest of the blob says more. Throws OVM_RAM_INVALID.
 */
export async function* inflateLz4Stream(content: Bytes): Bytes {
  await using reader = new ByteReader(content)
  while (!(await reader.ended())) {
    const magic = (await take(reader, 4)).readUInt32LE()
    if ((magic & 0xfffffff0) === SKIPPABLE) await skip(reader, (await take(reader, 4)).readUInt32LE())
    else if (magic === LZ4_MAGIC) yield* inflateFrame(reader, await readHeader(reader))
    else if (magic === LEGACY) throw malformedRam("the legacy format of LZ4 is not read", "OVMS-SNP-043")
    else throw malformedRam("there is no LZ4 frame where one should begin")
  }
}

async function readHeader(reader: ByteReader): Promise<Lz4Header> {
  const first = await take(reader, 1)
  const rest = await take(reader, headerLength(first.readUInt8()) - 1)
  return parseHeader(Buffer.concat([first, rest]))
}

async function* inflateFrame(reader: ByteReader, header: Lz4Header): Bytes {
  let before: Buffer | undefined
  for (;;) {
    const word = (await take(reader, 4)).readUInt32LE()
    if (word === 0) break
    const size = word & 0x7fffffff
    if (size > header.blockLimit)
      throw malformedRam(`an LZ4 block has ${size} bytes, more than ${header.blockLimit}`)
    const block = inflateBlock(await take(reader, size), word >= UNCOMPRESSED, header.blockLimit, before)
    if (header.blockChecksum) await take(reader, 4)
    if (header.linked)
      before = Buffer.from(
        (block.length < WINDOW && before ? Buffer.concat([before, block]) : block).subarray(-WINDOW),
      )
    yield block
  }
  if (header.contentChecksum) await take(reader, 4)
}

async function take(reader: ByteReader, count: number): Promise<Buffer> {
  const bytes = await reader.take(count)
  if (bytes.length < count) throw malformedRam("the last LZ4 frame is cut off")
  return bytes
}

async function skip(reader: ByteReader, count: number): Promise<void> {
  for (let left = count; left > 0; ) left -= (await take(reader, Math.min(left, WINDOW))).length
}
