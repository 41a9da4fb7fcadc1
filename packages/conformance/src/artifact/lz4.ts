const MAGIC = 0x184d2204
const CONTENT_SIZE = 8
const DICTIONARY = 1
const PLAIN = 0x80000000

/** What a frame of LZ4 (its frame format, 1.6) holds, at most `limit` bytes. Throws where it is no frame. */
export function unpackedLz4(frame: Buffer, limit: number): Buffer {
  if (frame.readUInt32LE(0) !== MAGIC) throw new Error("no frame of LZ4")
  const flags = frame.readUInt8(4)
  let at = 7 + (flags & CONTENT_SIZE ? 8 : 0) + (flags & DICTIONARY ? 4 : 0)
  const checksums = flags & 16 ? 4 : 0
  const into = Buffer.alloc(limit)
  let filled = 0
  for (;;) {
    const head = frame.readUInt32LE(at)
    at += 4
    if (head === 0) return into.subarray(0, filled)
    const size = head % PLAIN
    const block = frame.subarray(at, at + size)
    filled = head >= PLAIN ? filled + block.copy(into, filled) : unpackedBlock(block, into, filled)
    at += size + checksums
  }
}

/** Writes what a block holds behind the `filled` bytes of those before it; how many there are then. */
function unpackedBlock(block: Buffer, into: Buffer, filled: number): number {
  let [at, end] = [0, filled]
  const length = (nibble: number) => {
    let found = nibble
    for (let more = nibble === 15; more; ) {
      const byte = block.readUInt8(at++)
      found += byte
      more = byte === 255
    }
    return found
  }
  for (;;) {
    const token = block.readUInt8(at++)
    const literals = length(token >> 4)
    end += block.copy(into, end, at, at + literals)
    at += literals
    if (at >= block.length) return end
    const from = end - block.readUInt16LE(at)
    at += 2
    const match = length(token & 15) + 4
    // It may overlap with what it writes.
    for (let byte = 0; byte < match; byte++) into.writeUInt8(into.readUInt8(from + byte), end++)
  }
}
