import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { checkKernel, checkKernelFor, kernelVersion } from "./kernel.ts"

let folder = ""
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "ovm-kernel-"))
})
afterAll(() => rm(folder, { recursive: true }))

async function file(bytes: Uint8Array): Promise<string> {
  const path = join(folder, crypto.randomUUID())
  await writeFile(path, bytes)
  return path
}

/** Of one sector of set-up code and `paragraphs` of 16 bytes behind it. */
function bzImage(paragraphs = 0): Buffer {
  const bytes = Buffer.alloc(1024 + 16 * paragraphs)
  bytes[0x1f1] = 1
  bytes.writeUInt32LE(paragraphs, 0x1f4)
  bytes.writeUInt16LE(0xaa55, 0x1fe)
  bytes.write("HdrS", 0x202)
  bytes.writeUInt16LE(0x20f, 0x206)
  return bytes
}

const NOTE_AT = 64 + 2 * 56
const ENTRY = 0x100_0010

/** One segment to load at 16 MiB, which has the note of PVH's entry in it. */
function elf({ bits = 2, order = 1, machine = 62, type = 2 } = {}): Buffer {
  const bytes = Buffer.alloc(4096)
  bytes.write("\x7fELF", "latin1")
  bytes[4] = bits
  bytes[5] = order
  bytes.writeUInt16LE(type, 16)
  bytes.writeUInt16LE(machine, 18)
  bytes.writeBigUInt64LE(64n, 32)
  bytes.writeUInt16LE(56, 54)
  bytes.writeUInt16LE(2, 56)
  const segment = (index: number, kind: number, at: number, size: number) => {
    bytes.writeUInt32LE(kind, 64 + 56 * index)
    bytes.writeBigUInt64LE(BigInt(at), 64 + 56 * index + 8)
    bytes.writeBigUInt64LE(0x100_0000n, 64 + 56 * index + 24)
    bytes.writeBigUInt64LE(BigInt(size), 64 + 56 * index + 32)
    bytes.writeBigUInt64LE(BigInt(size), 64 + 56 * index + 40)
  }
  segment(0, 1, 0, 4096)
  segment(1, 4, NOTE_AT, 40)
  // A note of another kind, whose content is no multiple of four, comes first.
  for (const [index, number] of [4, 2, 1].entries()) bytes.writeUInt32LE(number, NOTE_AT + 4 * index)
  bytes.write("GNU", NOTE_AT + 12)
  for (const [index, number] of [4, 4, 18].entries()) bytes.writeUInt32LE(number, NOTE_AT + 20 + 4 * index)
  bytes.write("Xen", NOTE_AT + 32)
  bytes.writeUInt32LE(ENTRY, NOTE_AT + 36)
  return bytes
}

/** `bytes` with `number` of 32 bits at `at`. */
function changed(bytes: Buffer, at: number, number: number): Buffer {
  bytes.writeUInt32LE(number >>> 0, at)
  return bytes
}

function multiboot(bytes: Buffer, flags: number): Buffer {
  changed(bytes, 1024, 0x1badb002)
  changed(bytes, 1028, flags)
  return changed(bytes, 1032, -(0x1badb002 + flags))
}

test("a whole bzImage, and an ELF64 for x86_64 with an entry for PVH, are kernels (OVMS-SRC-010)", async () => {
  for (const bytes of [bzImage(), bzImage(100), Buffer.concat([bzImage(100), Buffer.from("signature")])])
    expect(await checkKernel(await file(bytes))).toBe("bzImage")
  expect(await checkKernel(await file(elf()))).toBe("elf")
  // Its header says where it goes: QEMU looks no further.
  expect(await checkKernel(await file(multiboot(elf(), 0x10003)))).toBe("elf")
  expect(await checkKernel(await file(changed(multiboot(elf(), 3), 1032, 7)))).toBe("elf")
})

test.skipIf(Boolean(guestMissing))(
  "the tests' own guest is a kernel; cut off anywhere it is none (OVMS-SRC-022)",
  async () => {
    const guest = await buildGuest()
    expect(await checkKernel(guest)).toBe("elf")
    const bytes = await readFile(guest)
    for (const length of [4, 40, 64, 100, 2000, 8192, 20_000]) {
      const error = checkKernel(await file(bytes.subarray(0, length)))
      await expect(error).rejects.toMatchObject({ code: "OVM_KERNEL_INVALID" })
      await expect(error).rejects.toThrow("cut off")
    }
  },
)

/** With `flags` of its header, of which bit 0 is the order of its bytes. */
function armImage(flags = 0): Buffer {
  const image = Buffer.from(`MZ${"\0".repeat(54)}ARM\x64${"\0".repeat(100)}`)
  image.writeUInt8(flags, 24)
  return image
}

test.each([
  ["nothing", Buffer.alloc(0), "neither"],
  ["text", Buffer.from("#!/bin/sh\n".repeat(100)), "neither"],
  ["a boot sector", bzImage().fill(0, 0x202, 0x206), "neither"],
  ["HdrS without the boot flag", bzImage().fill(0, 0x1fe, 0x200), "neither"],
  ["a bzImage cut short in its header", bzImage().subarray(0, 0x204), "neither"],
  ["a bzImage cut off (OVMS-SRC-023)", bzImage(100).subarray(0, -1), "cut off: it has 2623 bytes of 2624"],
  ["ELF32", elf({ bits: 1, machine: 3 }), "for x86 of 32 bits"],
  ["ELF64 for aarch64", elf({ machine: 183 }), "for aarch64"],
  ["ELF64, big endian", elf({ order: 2 }), "another kind"],
  ["an ELF file cut short", elf().subarray(0, 40), "cut off"],
  ["an ELF file whose segment is cut off", elf().subarray(0, 4095), "cut off"],
  ["an ELF file without segments", changed(elf(), 56, 0), "without segments"],
  ["an ELF file without the note", changed(elf(), 64 + 56, 0), "without the entry for PVH"],
  ["a note of another name", changed(elf(), NOTE_AT + 32, 0), "without the entry for PVH"],
  ["a note of another type", changed(elf(), NOTE_AT + 28, 17), "without the entry for PVH"],
  ["a note beyond its segment", changed(elf(), NOTE_AT, 0xfffffff0), "without the entry for PVH"],
  [
    "an entry where nothing is",
    changed(elf(), NOTE_AT + 36, 0x200_0000),
    "0x2000000, where it loads nothing",
  ],
  ["a multiboot kernel of 64 bits", multiboot(elf(), 3), "multiboot"],
  ["a kernel compressed with gzip", Buffer.from(gzipSync(elf())), "compressed with gzip"],
  ["a kernel compressed with zstd", Buffer.from(Bun.zstdCompressSync(elf())), "compressed with zstd"],
  ["an EFI program", Buffer.concat([Buffer.from("MZ"), Buffer.alloc(1000)]), "EFI program"],
  ["an Image for arm64, big endian", armImage(1), "big-endian"],
  ["an Image for arm64 cut short in its header", armImage().subarray(0, 63), "EFI program"],
])("%s is none, and the error names the file", async (_, bytes, reason) => {
  const path = await file(bytes)
  const error = checkKernel(path)
  await expect(error).rejects.toMatchObject({ code: "OVM_KERNEL_INVALID", exitStatus: 4 })
  await expect(error).rejects.toThrow(path)
  await expect(error).rejects.toThrow(reason)
})

test("an Image for arm64 is a kernel, of machines for arm64 alone [OVMS-IDX-002, OVMS-IDX-004]", async () => {
  const path = await file(armImage())
  expect(await checkKernel(path)).toBe("Image")
  expect(await checkKernelFor(path, "arm64")).toBe("Image")
  const refused = { code: "OVM_KERNEL_INVALID", detail: { path, requirement: "OVMS-IDX-004" } }
  await expect(checkKernelFor(path, undefined)).rejects.toMatchObject(refused)
})

test("programs and libraries of this host are no kernels (OVMS-SRC-022)", async () => {
  for (const path of [process.execPath, "/bin/sh", "/lib/x86_64-linux-gnu/libc.so.6"].filter(existsSync))
    await expect(checkKernel(path)).rejects.toThrow(/without the entry for PVH|another kind/)
})

test("a kernel that is not there is unreadable, not invalid", async () => {
  const path = join(folder, "missing")
  const error = checkKernel(path)
  await expect(error).rejects.toMatchObject({ code: "OVM_FILE_UNREADABLE" })
  await expect(error).rejects.toThrow(path)
  await expect(checkKernel(folder)).rejects.toMatchObject({ code: "OVM_FILE_UNREADABLE" })
})

/** With a version's text at `at`, which the header says. */
function versioned(at: number, text: string): Buffer {
  const bytes = Buffer.alloc(at + 0x200 + text.length)
  bzImage().copy(bytes)
  bytes.writeUInt16LE(at, 0x20e)
  bytes.write(text, at + 0x200, "latin1")
  return bytes
}

test("the version is what a bzImage's header points at, and nothing where there is none", async () => {
  const version = async (bytes: Uint8Array) => kernelVersion(await file(bytes))
  expect(await version(versioned(0x3000, "6.1.0-1-amd64 (me@here) #1 SMP\0junk"))).toBe(
    "6.1.0-1-amd64 (me@here) #1 SMP",
  )
  expect(await version(versioned(0xffff, "6.2\0"))).toBe("6.2")
  expect(await version(versioned(0x3000, "\x1b[2J"))).toBeUndefined()
  expect(await version(versioned(0x3000, "9".repeat(1000)))).toHaveLength(256)
  expect(await version(bzImage())).toBeUndefined()
  expect(await version(elf())).toBeUndefined()
  const outside = bzImage()
  outside.writeUInt16LE(0xf000, 0x20e)
  expect(await version(outside)).toBeUndefined()
})
