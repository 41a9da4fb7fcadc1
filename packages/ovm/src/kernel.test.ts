import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { checkKernel, kernelVersion } from "./kernel.ts"

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

function bzImage(): Buffer {
  const bytes = Buffer.alloc(1024)
  bytes.writeUInt16LE(0xaa55, 0x1fe)
  bytes.write("HdrS", 0x202)
  return bytes
}

function elf(bits: number, order: number, machine: number): Buffer {
  const bytes = Buffer.alloc(64)
  bytes.write("\x7fELF", "latin1")
  bytes[4] = bits
  bytes[5] = order
  bytes.writeUInt16LE(machine, 18)
  return bytes
}

test("a bzImage and an ELF64 for x86_64 are kernels (OVMS-SRC-010)", async () => {
  expect(await checkKernel(await file(bzImage()))).toBe("bzImage")
  expect(await checkKernel(await file(elf(2, 1, 62)))).toBe("elf")
})

test.each([
  ["nothing", Buffer.alloc(0), "neither"],
  ["text", Buffer.from("#!/bin/sh\n".repeat(100)), "neither"],
  ["a boot sector", bzImage().fill(0, 0x202, 0x206), "neither"],
  ["HdrS without the boot flag", bzImage().fill(0, 0x1fe, 0x200), "neither"],
  ["a bzImage cut short", bzImage().subarray(0, 0x204), "neither"],
  ["ELF32", elf(1, 1, 3), "another kind"],
  ["ELF64 for aarch64", elf(2, 1, 183), "another kind"],
  ["ELF64, big endian", elf(2, 2, 62), "another kind"],
  ["an ELF file cut short", elf(2, 1, 62).subarray(0, 40), "neither"],
])("%s is none, and the error names the file", async (_, bytes, reason) => {
  const path = await file(bytes)
  const error = checkKernel(path)
  await expect(error).rejects.toMatchObject({ code: "OVM_KERNEL_INVALID", exitStatus: 4 })
  await expect(error).rejects.toThrow(path)
  await expect(error).rejects.toThrow(reason)
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
  expect(await version(elf(2, 1, 62))).toBeUndefined()
  const outside = bzImage()
  outside.writeUInt16LE(0xf000, 0x20e)
  expect(await version(outside)).toBeUndefined()
})
