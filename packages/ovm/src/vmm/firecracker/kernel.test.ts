import { afterAll, expect, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { refusal } from "@ovms/testkit/disks.ts"
import { linux } from "../bench.testing.ts"
import { vmlinuxOf } from "./kernel.ts"
import { probeKernel } from "./probe.ts"

const folder = mkdtempSync(join(tmpdir(), "ovm-vmlinux-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** Something like a kernel: an ELF file that packs well, of more than one block of lz4. */
const KERNEL = Buffer.concat([probeKernel(), Buffer.alloc(9 << 20, "kernel "), Buffer.from("the end")])

/** A bzImage (arch/x86/boot.rst) with that inside, as its makers say. */
function bzImage(name: string, packed: Uint8Array, size = KERNEL.length): string {
  const setup = Buffer.alloc(5 * 512)
  setup[0x1f1] = 4
  setup.writeUInt16LE(0xaa55, 0x1fe)
  setup.write("HdrS", 0x202)
  setup.writeUInt16LE(0x20f, 0x206)
  const trailer = Buffer.alloc(4)
  trailer.writeUInt32LE(size)
  const payload = packed[0] === 0x1f ? Buffer.from(packed) : Buffer.concat([packed, trailer])
  const body = Buffer.concat([Buffer.alloc(100), payload, Buffer.alloc(16 - ((100 + payload.length) % 16))])
  setup.writeUInt32LE(body.length / 16, 0x1f4)
  setup.writeUInt32LE(100, 0x248)
  setup.writeUInt32LE(payload.length, 0x24c)
  const path = join(folder, name)
  writeFileSync(path, Buffer.concat([setup, body]))
  return path
}

function by(program: string, ...args: string[]): Uint8Array {
  const { stdout, exitCode } = Bun.spawnSync([program, ...args], { stdin: KERNEL })
  expect(exitCode).toBe(0)
  return stdout
}

const note = (program: string) => (Bun.which(program) ? "" : `(skipped: ${program} is not installed)`)
const KINDS: readonly (readonly [name: string, pack: () => Uint8Array, note: string])[] = [
  ["gzip", () => gzipSync(KERNEL), ""],
  ["zstd", () => zstdCompressSync(KERNEL), ""],
  ["xz", () => by("xz", "--check=crc32", "--x86", "--lzma2=dict=32MiB"), note("xz")],
  ["lz4", () => by("lz4", "-l", "-9", "-c"), note("lz4")],
]

for (const [name, pack, note] of KINDS)
  test.skipIf(note !== "")(`a kernel packed by ${name} is unpacked once ${note}`, async () => {
    const cache = join(folder, `cache-${name}`)
    const path = bzImage(name, pack())
    const made = await vmlinuxOf(path, cache)
    expect(readFileSync(made).equals(KERNEL)).toBe(true)
    // By its digest: another file with the same bytes is the same kernel.
    rmSync(path)
    const again = bzImage(`${name}-again`, pack())
    expect(await vmlinuxOf(again, cache)).toBe(made)
    expect(readdirSync(join(cache, "making"))).toEqual([])
  })

for (const [name, pack, note] of KINDS)
  test.skipIf(note !== "")(
    `one by ${name} that holds more than it says is not unpacked ${note}`,
    async () => {
      const packed = Buffer.from(pack())
      if (name === "gzip") packed.writeUInt32LE(4096, packed.length - 4)
      const cache = join(folder, `cache-bomb-${name}`)
      const error = await refusal(vmlinuxOf(bzImage(`bomb-${name}`, packed, 4096), cache))
      expect(error).toMatchObject({ code: "OVM_KERNEL_INVALID", message: expect.stringContaining(name) })
      expect(readdirSync(join(cache, "making"))).toEqual([])
    },
  )

test.each([
  ["bzip2", "BZh91AY&SY............."],
  ["lzma", "\x5d\0\0\0\x02............"],
  ["lzo", "\x89LZO............."],
  ["an unknown way", "whatever this is"],
])("a payload by %s is refused by name", async (name, bytes) => {
  const path = bzImage(`other-${name}`, Buffer.from(bytes, "latin1"))
  const error = await refusal(vmlinuxOf(path, join(folder, "cache-other")))
  expect(error).toMatchObject({ code: "OVM_UNSUPPORTED", message: expect.stringContaining(name) })
  expect(error.hint).toContain("vmlinux")
})

test("sizes that cannot be are refused before anything is unpacked", async () => {
  const cache = join(folder, "cache-size")
  const huge = await refusal(vmlinuxOf(bzImage("huge", zstdCompressSync(KERNEL), 0x7fffffff), cache))
  expect(huge).toMatchObject({ code: "OVM_KERNEL_INVALID", message: expect.stringContaining("more than") })
  const path = bzImage("outside", zstdCompressSync(KERNEL))
  const image = readFileSync(path)
  image.writeUInt32LE(image.length, 0x24c)
  writeFileSync(path, image)
  const outside = await refusal(vmlinuxOf(path, cache))
  expect(outside).toMatchObject({ code: "OVM_KERNEL_INVALID", message: expect.stringContaining("nothing") })
})

test("a damaged payload, and one that is no kernel, are refused", async () => {
  const cache = join(folder, "cache-damaged")
  const packed = Buffer.from(zstdCompressSync(KERNEL))
  packed.fill(0xff, 20)
  expect((await refusal(vmlinuxOf(bzImage("damaged", packed), cache))).code).toBe("OVM_KERNEL_INVALID")
  const words = Buffer.from("no kernel at all, but words")
  const path = bzImage("words", gzipSync(words), words.length)
  expect((await refusal(vmlinuxOf(path, cache))).message).toContain("no ELF kernel")
})

test("an ELF kernel is used as it is", async () => {
  const { buildGuest } = await import("@ovms/testkit/guest.ts")
  const guest = await buildGuest()
  const cache = join(folder, "cache-elf")
  expect(await vmlinuxOf(guest, cache)).toBe(guest)
  expect(existsSync(cache)).toBe(false)
})

test.skipIf(linux.note !== "" || note("xz") !== "")(
  `Debian's kernel is unpacked ${linux.note}${note("xz")}`,
  async () => {
    const cache = join(folder, "cache-debian")
    mkdirSync(cache)
    const made = readFileSync(await vmlinuxOf(linux.kernel.path, cache))
    expect(made.toString("latin1", 0, 4)).toBe("\x7fELF")
    expect(made.includes("Linux version ")).toBe(true)
  },
)
