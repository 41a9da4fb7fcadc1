import { OvmError } from "../../errors.ts"
import { shellWord } from "../../host/shell-word.ts"
import type { DiskReader } from "../file.ts"
import { ARCHIVES } from "./archives.ts"
import { DISKS, QCOW2 } from "./disks.ts"
import { foreignDescriptor, foreignDocument } from "./document.ts"
import { gzipOf } from "./gzip.ts"
import { type Foreign, has, type Kind, type Sample, sampleOf } from "./sample.ts"
import { tarOf } from "./tar.ts"

const KERNELS: readonly Kind[] = [
  {
    name: "an ELF file",
    help: (path) => `a kernel is given as --kernel ${path}`,
    is: ({ head }) => has(head, 0, "\x7fELF") && [1, 2].includes(head[4] ?? 0) && head[6] === 1,
  },
  {
    name: "a Linux kernel",
    help: (path) => `a kernel is given as --kernel ${path}`,
    is: ({ head }) => has(head, 0x1fe, "\x55\xaa") && has(head, 0x202, "HdrS"),
  },
]

const KINDS = [...DISKS, ...ARCHIVES, ...KERNELS]

/**
 * What the open file is by its bytes, if no raw disk (spec/disk.md, "Bytes of other formats"). Undefined for whatever
 * may be one: zeros, text, boot code, a file system, a CD-ROM, LUKS; and for anything with a table of partitions,
 * unless it ends as a disk of another format does. Throws what reading throws.
 */
export async function foreignOf(disk: DiskReader): Promise<Foreign | undefined> {
  const sample = await sampleOf(disk)
  if (hasPartitions(sample)) {
    const nothing = { ...sample, head: Buffer.alloc(0) }
    return DISKS.find((kind) => kind.is(nothing))
  }
  const found = KINDS.find((kind) => kind.is(sample))
  if (found?.name === "a file compressed with gzip") return await gzipOf(sample, found)
  return (
    found ?? (await tarOf(sample)) ?? (await foreignDocument(sample)) ?? (await foreignDescriptor(sample))
  )
}

/** Throws OVM_DISK_INVALID, with the command that helps, for what is neither a qcow2 nor a raw disk by its bytes. */
export async function refuseForeign(disk: DiskReader): Promise<void> {
  const foreign = await foreignOf(disk)
  if (!foreign || foreign.name === QCOW2) return
  const reason = `looks like ${foreign.name}, neither qcow2 nor raw`
  throw new OvmError("OVM_DISK_INVALID", `${disk.path}: ${reason}`, {
    detail: { path: disk.path, reason, requirement: "OVMS-SRC-020" },
    hint: `${foreign.help(shellWord(disk.path))}; or --format raw, if it is to be taken as it is`,
  })
}

const ENTRIES_AT = 446

/** A GPT, or an MBR with an entry that says where something is. */
function hasPartitions({ head }: Sample): boolean {
  if (has(head, 512, "EFI PART")) return true
  if (!has(head, 510, "\x55\xaa")) return false
  return [0, 1, 2, 3].some((index) => {
    const entry = head.subarray(ENTRIES_AT + 16 * index)
    return (
      [0, 0x80].includes(entry[0] ?? -1) &&
      entry[4] !== 0 &&
      entry.readUInt32LE(8) > 0 &&
      entry.readUInt32LE(12) > 0
    )
  })
}
