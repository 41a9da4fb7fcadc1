import { open } from "node:fs/promises"
import { OvmError, toOvmError } from "./errors.ts"

export type KernelFormat = "bzImage" | "elf"

// Linux/x86 boot protocol: the boot flag at 0x1fe, "HdrS" at 0x202 (kernel.org: arch/x86/boot.rst).
const BOOT_FLAG = 0x1fe
const SETUP_MAGIC = 0x202
const HEAD = 0x206
const ELF_X86_64 = 62

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

function invalid(path: string, reason: string): OvmError {
  return new OvmError("OVM_KERNEL_INVALID", `${path}: ${reason}`, {
    detail: { path, requirement: "OVMS-SRC-010" },
    hint: "Give the kernel image itself, such as /boot/vmlinuz-* of a Linux distribution.",
  })
}

async function readHead(path: string): Promise<Buffer> {
  try {
    const file = await open(path)
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(HEAD), 0, HEAD, 0)
      return buffer.subarray(0, bytesRead)
    } finally {
      await file.close()
    }
  } catch (thrown) {
    throw toOvmError(thrown)
  }
}
