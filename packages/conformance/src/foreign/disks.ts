import { CLUSTER, count, qcow2Head } from "../artifact/qcow2.ts"
import { hex } from "../registry/content.ts"

// Disks as other programs have them, of bytes that are given. They are small, so that one table of each kind will do.

/** A disk of 1 MiB whose sectors differ, which says `words`; no boot code. */
export function diskOf(words: string, size = 1 << 20): Buffer {
  const bytes = Buffer.alloc(size)
  bytes.write(words, 4096)
  bytes.fill(words, size - 512)
  return bytes
}

/** qcow2 of version 3, at most 512 MiB, with all of its clusters that are not zeros. */
export function qcow2Of(raw: Buffer): Buffer {
  const head = qcow2Head(raw.length, 5)
  const copied = 1n << 63n
  head.writeBigUInt64BE(BigInt(4 * CLUSTER) | copied, 3 * CLUSTER)
  const clusters: Buffer[] = []
  for (let at = 0; at < raw.length; at += CLUSTER) {
    const cluster = raw.subarray(at, at + CLUSTER)
    if (cluster.every((byte) => byte === 0)) continue
    head.writeBigUInt64BE(BigInt((5 + clusters.length) * CLUSTER) | copied, 4 * CLUSTER + (at / CLUSTER) * 8)
    clusters.push(Buffer.concat([cluster, Buffer.alloc(CLUSTER - cluster.length)]))
  }
  count(head, 5 + clusters.length)
  return Buffer.concat([head, ...clusters])
}

/** A qcow2 with a snapshot inside, of an empty disk. */
export function withSnapshot(qcow2: Buffer): Buffer {
  const [first, more] = [qcow2.length, Buffer.alloc(2 * CLUSTER)]
  const bytes = Buffer.concat([qcow2, more])
  bytes.writeUInt32BE(1, 60)
  bytes.writeBigUInt64BE(BigInt(first), 64)
  bytes.writeBigUInt64BE(BigInt(first + CLUSTER), first)
  bytes.writeUInt32BE(1, first + 8)
  bytes.writeUInt16BE(1, first + 12)
  bytes.writeUInt16BE(3, first + 14)
  bytes.writeUInt32BE(16, first + 36)
  bytes.writeBigUInt64BE(bytes.readBigUInt64BE(24), first + 48)
  bytes.write("1old", first + 56)
  for (const at of [first, first + CLUSTER]) bytes.writeUInt16BE(1, 2 * CLUSTER + 2 * (at / CLUSTER))
  return bytes
}

const SECTOR = 512
/** Sectors of a grain. */
const GRAIN = 128

/** The text that says what a VMDK consists of. */
export function vmdkText(kind: string, extents: string, parent = "ffffffff", more = ""): string {
  return `# Disk DescriptorFile\nversion=1\nCID=00000001\nparentCID=${parent}\ncreateType="${kind}"\n${extents}\n${more}\nddb.adapterType = "ide"\n`
}

/** A sparse VMDK in one file, at most 32 MiB; `text` in the place of its own description. */
export function vmdkOf(raw: Buffer, text?: string): Buffer {
  const sectors = raw.length / SECTOR
  const head = Buffer.alloc(GRAIN * SECTOR)
  head.write("KDMV", 0)
  head.writeUInt32LE(1, 4)
  head.writeUInt32LE(1, 8)
  head.writeBigUInt64LE(BigInt(sectors), 12)
  head.writeBigUInt64LE(BigInt(GRAIN), 20)
  head.writeBigUInt64LE(1n, 28)
  head.writeBigUInt64LE(20n, 36)
  head.writeUInt32LE(512, 44)
  head.writeBigUInt64LE(21n, 56)
  head.writeBigUInt64LE(BigInt(GRAIN), 64)
  head.write("\n \r\n", 73)
  head.write(text ?? vmdkText("monolithicSparse", `RW ${sectors} SPARSE "disk.vmdk"`), SECTOR)
  head.writeUInt32LE(22, 21 * SECTOR)
  const grains: Buffer[] = []
  for (let at = 0; at < raw.length; at += GRAIN * SECTOR) {
    const grain = raw.subarray(at, at + GRAIN * SECTOR)
    if (grain.every((byte) => byte === 0)) continue
    head.writeUInt32LE(GRAIN * (1 + grains.length), 22 * SECTOR + (at / (GRAIN * SECTOR)) * 4)
    grains.push(grain)
  }
  return Buffer.concat([head, ...grains])
}

/** VirtualBox's, of one block of 1 MiB. */
export function vdiOf(raw: Buffer): Buffer {
  const head = Buffer.alloc(1024)
  head.write("<<< Oracle VM VirtualBox Disk Image >>>\n", 0)
  head.write("7f10dabe", 64, "hex")
  head.writeUInt32LE(0x00010001, 68)
  head.writeUInt32LE(400, 72)
  head.writeUInt32LE(1, 76)
  head.writeUInt32LE(512, 340)
  head.writeUInt32LE(1024, 344)
  head.writeUInt32LE(512, 360)
  head.writeBigUInt64LE(BigInt(raw.length), 368)
  head.writeUInt32LE(1 << 20, 376)
  head.writeUInt32LE(1, 384)
  head.writeUInt32LE(1, 388)
  head.fill(0x11, 392, 408)
  head.fill(0x22, 408, 424)
  return Buffer.concat([head, raw, Buffer.alloc((1 << 20) - raw.length)])
}

const VHD_BLOCK = 2 << 20

/** Virtual PC's, at most 2 MiB; `type` 4 says that it differs from another one. */
export function vhdOf(raw: Buffer, type = 3): Buffer {
  const foot = Buffer.alloc(512)
  foot.write("conectix", 0)
  foot.writeUInt32BE(2, 8)
  foot.writeUInt32BE(0x10000, 12)
  foot.writeBigUInt64BE(512n, 16)
  foot.write("win ", 28)
  foot.writeUInt32BE(0x000a0000, 32)
  foot.write("Wi2k", 36)
  foot.writeBigUInt64BE(BigInt(raw.length), 40)
  foot.writeBigUInt64BE(BigInt(raw.length), 48)
  foot.writeUInt16BE(30, 56)
  foot.writeUInt8(4, 58)
  foot.writeUInt8(17, 59)
  foot.writeUInt32BE(type, 60)
  foot.fill(0x33, 68, 84)
  summed(foot, 64)
  const head = Buffer.alloc(1024)
  head.write("cxsparse", 0)
  head.fill(0xff, 8, 16)
  head.writeBigUInt64BE(1536n, 16)
  head.writeUInt32BE(0x10000, 24)
  head.writeUInt32BE(1, 28)
  head.writeUInt32BE(VHD_BLOCK, 32)
  summed(head, 36)
  const table = Buffer.alloc(512, 0xff)
  table.writeUInt32BE(4, 0)
  const rest = Buffer.alloc(VHD_BLOCK - raw.length)
  return Buffer.concat([foot, head, table, Buffer.alloc(512, 0xff), raw, rest, foot])
}

/** The sum's complement of all bytes, without those of the sum. */
function summed(bytes: Buffer, at: number): void {
  bytes.writeUInt32BE(~bytes.reduce((sum, byte) => (sum + byte) >>> 0, 0) >>> 0, at)
}

/** A file of zeros of 1 MiB but for what makes it an ISO 9660 file system; `boots` as a disk as well. */
export function isoOf(boots: boolean): Buffer {
  const bytes = Buffer.alloc(1 << 20)
  bytes.write("\x01CD001\x01", 32768, "latin1")
  if (boots) hex("fa31c0").copy(bytes)
  if (boots) bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}
