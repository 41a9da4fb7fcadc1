import { be32, has, type Kind, le32, type Sample } from "./sample.ts"

// What disks travel in. Each is told by more than its magic number: a few bytes may be anything on a disk.

const COMMANDS = {
  gzip: "gunzip",
  xz: "xz -d",
  zstd: "unzstd",
  bzip2: "bunzip2",
  lz4: "lz4 -d",
  lzip: "lzip -d",
}

const compressed = (by: keyof typeof COMMANDS, is: Kind["is"]): Kind => ({
  name: `a file compressed with ${by}`,
  help: (path) => `${COMMANDS[by]} ${path}`,
  is,
})

const archive = (name: string, command: string, is: Kind["is"]): Kind => ({
  name,
  help: (path) => `${command} ${path}, and give the disk that is in it`,
  is,
})

export const ARCHIVES: readonly Kind[] = [
  compressed("gzip", ({ head }) => has(head, 0, "\x1f\x8b\x08") && ((head[3] ?? 0xff) & 0xe0) === 0),
  compressed("xz", isXz),
  compressed("zstd", isZstd),
  compressed("bzip2", isBzip2),
  compressed("lz4", isLz4),
  compressed("lzip", ({ head }) => has(head, 0, "LZIP\x01")),
  archive("a zip archive", "unzip", isZip),
  archive("a 7z archive", "7z x", ({ head }) => has(head, 0, "7z\xbc\xaf\x27\x1c\0")),
  archive("a RAR archive", "unrar x", ({ head }) => has(head, 0, "Rar!\x1a\x07")),
  archive("a Debian package or ar archive", "ar x", ({ head }) => has(head, 0, "!<arch>\n")),
  archive("an RPM package", "rpm2cpio", ({ head }) => has(head, 0, "\xed\xab\xee\xdb\x03")),
  archive(
    "a Windows image (WIM)",
    "wimapply",
    ({ head }) => has(head, 0, "MSWIM\0\0\0") && le32(head, 8) === 208,
  ),
  {
    name: "a cpio archive",
    help: (path) => `an initial RAM disk is given as --initrd ${path}`,
    is: ({ head }) => /^07070[12][0-9A-Fa-f]{104}/.test(head.toString("latin1", 0, 110)),
  },
]

/** The flags of the stream, and their checksum. */
function isXz({ head }: Sample): boolean {
  if (!has(head, 0, "\xfd7zXZ\0\0") || ((head[7] ?? 0xff) & 0xf0) !== 0) return false
  return Bun.hash.crc32(head.subarray(6, 8)) === le32(head, 8)
}

/** The first block, or the end of a file without one. */
function isBzip2({ head }: Sample): boolean {
  if (!/^BZh[1-9]/.test(head.toString("latin1", 0, 4))) return false
  return has(head, 4, "1AY&SY") || has(head, 4, "\x17rE8P\x90")
}

/** A frame whose reserved bit is not set, or one to be skipped, as tools put before their own. */
function isZstd({ head }: Sample): boolean {
  if (has(head, 0, "\x28\xb5\x2f\xfd")) return ((head[4] ?? 0xff) & 0x08) === 0 && head.length > 8
  const skipped = le32(head, 4)
  return le32(head, 0) >>> 4 === 0x184d2a5 && le32(head, 8 + skipped) === 0xfd2fb528
}

/** Version 1 without reserved bits and with a block size that there is; or the form of old kernels. */
function isLz4({ head }: Sample): boolean {
  if (has(head, 0, "\x02\x21\x4c\x18")) return le32(head, 4) > 0 && le32(head, 4) < 9 << 20
  if (!has(head, 0, "\x04\x22\x4d\x18")) return false
  const [flags = 0, block = 0xff] = head.subarray(4)
  return (flags & 0xc2) === 0x40 && (block & 0x8f) === 0 && block >> 4 >= 4
}

const METHODS = [0, 1, 6, 8, 9, 12, 14, 93, 95, 96, 97, 98, 99]

/** The first file's header, or the end of an archive that has none. */
function isZip({ head }: Sample): boolean {
  if (has(head, 0, "PK\x05\x06")) return be32(head, 4) === 0 && le32(head, 8) === 0
  if (!has(head, 0, "PK\x03\x04") || head.length < 30) return false
  return head.readUInt16LE(4) <= 63 && METHODS.includes(head.readUInt16LE(8)) && head.readUInt16LE(26) > 0
}
