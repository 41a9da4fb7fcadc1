import { OvmError, toOvmError } from "./errors.ts"
import { openRegular } from "./files/regular.ts"

export type KernelFormat = "bzImage" | "elf"

// Linux/x86 boot protocol: the boot flag at 0x1fe, "HdrS" at 0x202 (kernel.org: arch/x86/boot.rst).
const BOOT_FLAG = 0x1fe
const SETUP_MAGIC = 0x202
const HEAD = 0x206
const ELF_X86_64 = 62
const VERSION_AT = 0x20e
/** The offset of the version has 16 bits, and counts from 0x200. */
const VERSION_LENGTH = 256
const SETUP_LIMIT = 0x200 + 0xffff + VERSION_LENGTH

/**
 * Tells by its first bytes whether a file is a kernel that a VMM can load: a bzImage or an ELF64 for x86_64 (OVMS-SRC-010).
 * Throws OVM_KERNEL_INVALID naming the file, OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export async function checkKernel(path: string): Promise<KernelFormat> {
  const head = await readHead(path)
  const text = (from: number, to: number) => head.toString("latin1", from, to)
  if (head.length >= HEAD && head.readUInt16LE(BOOT_FLAG) === 0xaa55 && text(SETUP_MAGIC, HEAD) === "HdrS")
    return "bzImage"
  const reason = "is neither a bzImage nor an ELF64 kernel for x86_64"
  if (head.length < 64 || text(0, 4) !== "\x7fELF") throw invalid(path, reason)
  // e_ident: class 2 is 64 bit, data 1 is little endian.
  if (head[4] === 2 && head[5] === 1 && head.readUInt16LE(18) === ELF_X86_64) return "elf"
  throw invalid(path, `is an ELF file of another kind: it ${reason}`)
}

/**
 * What a bzImage says of its version (boot.rst: kernel_version), such as `6.1.0-56-amd64 (…) #1 SMP …`. Undefined where it says
 * nothing, and of an ELF file, which has no such place. Throws OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED.
 */
export async function kernelVersion(path: string): Promise<string | undefined> {
  const head = await readHead(path, SETUP_LIMIT)
  if (head.length < HEAD || head.toString("latin1", SETUP_MAGIC, HEAD) !== "HdrS") return undefined
  if (head.length < VERSION_AT + 2) return undefined
  const at = head.readUInt16LE(VERSION_AT)
  if (at === 0) return undefined
  const from = at + 0x200
  const text = /^[\x20-\x7e]*/.exec(head.toString("latin1", from, from + VERSION_LENGTH))?.[0]
  return text || undefined
}

function invalid(path: string, reason: string): OvmError {
  return new OvmError("OVM_KERNEL_INVALID", `${path}: ${reason}`, {
    detail: { path, requirement: "OVMS-SRC-010" },
    hint: "Give the kernel image itself, such as /boot/vmlinuz-* of a Linux distribution.",
  })
}

async function readHead(path: string, length = HEAD): Promise<Buffer> {
  try {
    const file = await openRegular(path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
