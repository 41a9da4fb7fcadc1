import { OvmError, toOvmError } from "./errors.ts"
import { openRegular } from "./files/regular.ts"
import { efiArchitecture } from "./kernel-efi.ts"
import { elfFault } from "./kernel-elf.ts"

export type KernelFormat = "bzImage" | "elf" | "Image" | "EFI for amd64" | "EFI for arm64"

/** What a kernel of a format runs on, in the words of OCI. */
export const KERNEL_ARCHITECTURES = {
  bzImage: "amd64",
  elf: "amd64",
  Image: "arm64",
  "EFI for amd64": "amd64",
  "EFI for arm64": "arm64",
} as const

/** What starts it. */
export interface KernelUse {
  /** UEFI firmware, which takes EFI programs as well. */
  readonly uefi?: boolean | undefined
}

// Linux/x86 boot protocol: the boot flag at 0x1fe, "HdrS" at 0x202 (kernel.org: arch/x86/boot.rst).
const SETUP_SECTORS = 0x1f1
const PARAGRAPHS = 0x1f4
const BOOT_FLAG = 0x1fe
const SETUP_MAGIC = 0x202
const PROTOCOL_AT = 0x206
const SETUP_HEAD = 0x208
// Linux/arm64: flags at 24, bit 0 big-endian, and the magic at 56 (kernel.org: arch/arm64/booting.rst).
const ARM_FLAGS = 24
const ARM_MAGIC = 56
const ARM_HEAD = 64
/** From here on the protocol says in 32 bits how much there is behind the set-up code. */
const PROTOCOL_OF_SIZE = 0x204
const VERSION_AT = 0x20e
/** The offset of the version has 16 bits, and counts from 0x200. */
const VERSION_LENGTH = 256
const SETUP_LIMIT = 0x200 + 0xffff + VERSION_LENGTH
/** Where VMMs look for headers. */
const HEAD = 8192

/** What else is given as a kernel, by its first bytes, and the command that helps. */
const OTHERS: readonly (readonly [magic: string, name: string, command: string])[] = [
  ["\x1f\x8b", "compressed with gzip", "gunzip"],
  ["\xfd7zXZ", "compressed with xz", "xz -d"],
  ["\x28\xb5\x2f\xfd", "compressed with zstd", "unzstd"],
  ["BZh", "compressed with bzip2", "bunzip2"],
  ["\x04\x22\x4d\x18", "compressed with lz4", "lz4 -d"],
  ["\x02\x21\x4c\x18", "compressed with lz4", "lz4 -d"],
  ["QFI\xfb", "a qcow2 disk", "ovm pack --layer"],
]

/**
 * Tells by its bytes whether a file is a kernel that a VMM can load: a whole bzImage, an ELF64 for x86_64 with an
 * entry, or an Image for arm64 (OVMS-SRC-010, OVMS-SRC-022, OVMS-SRC-023, OVMS-IDX-002); where firmware starts it also
 * an EFI program (OVMS-UEF-040). Throws OVM_KERNEL_INVALID naming the file, OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export async function checkKernel(path: string, { uefi }: KernelUse = {}): Promise<KernelFormat> {
  return await reading(path, HEAD, async (head, size, read) => {
    const text = (from: number, to: number) => head.toString("latin1", from, to)
    if (head.length >= SETUP_HEAD && head.readUInt16LE(BOOT_FLAG) === 0xaa55 && isSetup(head)) {
      const whole = sizeOf(head)
      if (size >= whole) return "bzImage"
      throw invalid(path, `is a bzImage that is cut off: it has ${size} bytes of ${whole}`, "OVMS-SRC-023")
    }
    if (text(0, 4) === "\x7fELF") {
      const fault = await elfFault({ head, size, read })
      if (fault === undefined) return "elf"
      throw invalid(path, fault, "OVMS-SRC-022")
    }
    if (head.length >= ARM_HEAD && text(ARM_MAGIC, ARM_HEAD - 4) === "ARM\x64") {
      if ((head.readUInt8(ARM_FLAGS) & 1) === 0) return "Image"
      throw invalid(path, "is a big-endian kernel for arm64", "OVMS-IDX-002")
    }
    const efi = efiArchitecture(head)
    if (uefi && efi) return `EFI for ${efi}` as const
    const none = "it is neither a bzImage nor an ELF64 kernel for x86_64, nor an Image for arm64"
    const [, name, command] = OTHERS.find(([magic]) => text(0, magic.length) === magic) ?? []
    if (name !== undefined)
      throw invalid(path, `looks like a file that is ${name}: ${none}`, undefined, `${command} ${path}`)
    if (text(0, 2) === "MZ")
      throw invalid(
        path,
        `is an EFI program, such as a unified kernel image: ${none}`,
        undefined,
        ...(efi ? ["ovm pack --uefi has firmware start it"] : []),
      )
    throw invalid(path, none.slice("it ".length))
  })
}

/**
 * `checkKernel` of a machine for `architecture`. Throws OVM_KERNEL_INVALID also for a kernel of another one
 * (OVMS-IDX-004).
 */
export async function checkKernelFor(
  path: string,
  architecture = "amd64",
  use: KernelUse = {},
): Promise<KernelFormat> {
  const format = await checkKernel(path, use)
  const is = KERNEL_ARCHITECTURES[format]
  if (is === architecture) return format
  throw invalid(path, `is a kernel for ${is}, and the machine is for ${architecture}`, "OVMS-IDX-004")
}

function isSetup(head: Buffer): boolean {
  return head.toString("latin1", SETUP_MAGIC, SETUP_MAGIC + 4) === "HdrS"
}

/** Of a bzImage by its header, in bytes. */
function sizeOf(head: Buffer): number {
  const setup = ((head[SETUP_SECTORS] || 4) + 1) * 512
  return head.readUInt16LE(PROTOCOL_AT) < PROTOCOL_OF_SIZE
    ? setup + 1
    : setup + head.readUInt32LE(PARAGRAPHS) * 16
}

/**
 * What a bzImage says of its version (boot.rst: kernel_version), such as `6.1.0-56-amd64 (…) #1 SMP …`. Undefined where
 * it says nothing, and of an ELF file, which has no such place. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export async function kernelVersion(path: string): Promise<string | undefined> {
  return await reading(path, SETUP_LIMIT, async (head) => {
    if (head.length < VERSION_AT + 2 || !isSetup(head)) return undefined
    const at = head.readUInt16LE(VERSION_AT)
    if (at === 0) return undefined
    const from = at + 0x200
    const text = /^[\x20-\x7e]*/.exec(head.toString("latin1", from, from + VERSION_LENGTH))?.[0]
    return text || undefined
  })
}

const HINT = "Give the kernel image itself, such as /boot/vmlinuz-* of a Linux distribution."

function invalid(path: string, reason: string, requirement = "OVMS-SRC-010", hint = HINT): OvmError {
  return new OvmError("OVM_KERNEL_INVALID", `${path}: ${reason}`, { detail: { path, requirement }, hint })
}

/** Hands the first `length` bytes of the file to `use`, with its size and a way to more of it. */
async function reading<T>(
  path: string,
  length: number,
  use: (head: Buffer, size: number, read: (at: number, length: number) => Promise<Buffer>) => Promise<T>,
): Promise<T> {
  try {
    await using file = await openRegular(path)
    const read = async (at: number, count: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(count), 0, count, at)
      return buffer.subarray(0, bytesRead)
    }
    return await use(await read(0, length), (await file.stat()).size, read)
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
