import { be32, has, type Kind, le32, type Sample } from "./sample.ts"

// Disks of virtual machines in other formats (QEMU: docs/interop and the probe functions of block/*.c).

const convert = (format: string) => (path: string) =>
  `qemu-img convert -f ${format} -O qcow2 ${path} disk.qcow2`

const disk = (name: string, format: string, is: Kind["is"]): Kind => ({ name, help: convert(format), is })

export const QCOW2 = "a qcow2 disk"
const QFI = "QFI\xfb"

export const DISKS: readonly Kind[] = [
  {
    name: QCOW2,
    help: () => "declare it as what it is: --format qcow2, or no format",
    is: ({ head }) => has(head, 0, QFI) && be32(head, 4) >= 2,
  },
  disk("a qcow disk of version 1", "qcow", ({ head }) => has(head, 0, QFI) && be32(head, 4) === 1),
  disk("a QED disk", "qed", ({ head }) => has(head, 0, "QED\0") && isPowerOfTwo(le32(head, 4), 12, 26)),
  disk(
    "a Parallels disk",
    "parallels",
    ({ head }) =>
      (has(head, 0, "WithoutFreeSpace") || has(head, 0, "WithouFreSpacExt")) && le32(head, 16) === 2,
  ),
  disk("a VMDK disk", "vmdk", isVmdk),
  disk("a VHDX disk", "vhdx", ({ head }) => has(head, 0, "vhdxfile")),
  disk("a VDI disk", "vdi", ({ head }) => has(head, 64, "\x7f\x10\xda\xbe")),
  disk("a VHD disk", "vpc", isVhd),
  disk(
    "an Apple disk image (DMG)",
    "dmg",
    ({ tail }) => has(tail, 0, "koly") && be32(tail, 4) === 4 && be32(tail, 8) === 512,
  ),
  disk("a Bochs disk", "bochs", ({ head }) => has(head, 0, "Bochs Virtual HD Image\0")),
  disk("a cloop image", "cloop", ({ head }) => has(head, 0, "#!/bin/sh\n#V2.0 Format\n")),
]

function isVmdk({ head }: Sample): boolean {
  if (has(head, 0, "KDMV")) return true
  if (has(head, 0, "COWD")) return le32(head, 4) === 1
  // The descriptor alone, whose data lies in files beside it.
  return /^(?:\s*\n|[ \t])*# Disk DescriptorFile\s*\n/i.test(head.toString("latin1", 0, 512))
}

/**
 * A dynamic one begins with its footer, a fixed one has it only at its end: it is a raw disk otherwise, with its
 * partitions. Old programs wrote 511 bytes of it.
 */
function isVhd({ head, tail }: Sample): boolean {
  return isFooter(head) || isFooter(tail) || isFooter(tail.subarray(1))
}

function isFooter(bytes: Buffer): boolean {
  return has(bytes, 0, "conectix") && be32(bytes, 12) === 0x10000
}

function isPowerOfTwo(value: number, least: number, most: number): boolean {
  const bits = Math.log2(value)
  return Number.isInteger(bits) && bits >= least && bits <= most
}
