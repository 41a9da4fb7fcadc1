import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { digestOf } from "../content/digest.ts"
import { OvmError } from "../errors.ts"
import { type CompressedRam, compressRam } from "./compress.ts"
import { CHUNK, type RamCompression, tableSize } from "./format.ts"
import { inflateRam } from "./inflate.ts"
import type { InflateOptions } from "./inflate-options.ts"
import { RamTable, writeTable } from "./table.ts"
import { inflateZstd } from "./zstd.ts"

const SIZE = 4 << 20
let folder = ""
let count = 0
/** RAM with text, noise, scattered pages, zeros that are written and zeros that are a hole. */
const ram = Buffer.alloc(SIZE)
const fresh = (name: string) => join(folder, `${count++}-${name}`)

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ovm-ram-"))
  for (let at = 0; at < 700_000; at += 16) ram.write(`${at % 9973} pages of `, at)
  let noise = createHash("sha256").update("noise").digest()
  for (let at = CHUNK * 4; at < CHUNK * 6; at += 32) {
    noise = createHash("sha256").update(noise).digest()
    noise.copy(ram, at)
  }
  ram.fill(7, CHUNK * 9 + 8192, CHUNK * 9 + 8193)
  ram.fill(1, SIZE - 1)
})
afterAll(() => rmSync(folder, { recursive: true }))

/** With real holes where nothing but zeros comes for long, and zeros that are written elsewhere. */
function ramFile(): string {
  const path = fresh("ram")
  const fd = openSync(path, "w")
  writeSync(fd, ram.subarray(0, CHUNK * 12))
  writeSync(fd, ram.subarray(SIZE - 4096), 0, 4096, SIZE - 4096)
  closeSync(fd)
  return path
}

const compressed = (compression: RamCompression = "zstd") =>
  compressRam(ramFile(), { into: fresh(`ram.${compression}`), compression })

type Changes = Partial<InflateOptions>

function inflate(made: CompressedRam, changes: Changes = {}, path = made.path): Promise<string> {
  return inflateRam(path, {
    into: fresh("inflated"),
    ref: made.blob.digest,
    blobSize: made.blob.size,
    compression: made.compression,
    size: made.size,
    digest: made.digest,
    ...changes,
  })
}

async function refusal(work: Promise<unknown>): Promise<OvmError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(OvmError)
  return thrown as OvmError
}

function tool(name: string, ...args: string[]): Buffer {
  const { status, stdout, stderr } = spawnSync(name, args, { maxBuffer: 1 << 28 })
  if (status !== 0) throw new Error(`${name} ${args.join(" ")}: ${stderr}`)
  return stdout
}

const has = (name: string) => spawnSync(name, ["--version"]).status === 0
const missing = ["zstd", "lz4"].filter((name) => !has(name))
if (missing.length > 0)
  console.warn(`skipped: the tests with ${missing.join(" and ")}, which is not installed`)

/** Options of the tools; without any, the RAM comes through a pipe, so that its size is not known ahead. */
const PLAIN = {
  zstd: ["-3", "-19 --long=27", "--no-content-size --no-check", "--fast=5", ""],
  lz4: ["-1", "-9", "-BD -B4", "-BX --content-size", "--no-frame-crc -B5", ""],
}

describe.each(["zstd", "lz4"] as const)("RAM as %s", (compression) => {
  test("comes back as it was, with its table and without, sparse and for its user alone (OVMS-SNP-095)", async () => {
    const made = await compressed(compression)
    expect(statSync(made.path).mode & 0o777).toBe(0o600)
    expect(made.blob).toEqual({ digest: digestOf(readFileSync(made.path)), size: statSync(made.path).size })
    for (const table of [made.table, undefined]) {
      const into = fresh("inflated")
      expect(await inflate(made, { into, ...(table && { table }) })).toBe(made.digest)
      expect(readFileSync(into).equals(ram)).toBe(true)
      expect(statSync(into).mode & 0o777).toBe(0o600)
      expect(statSync(into).blocks * 512).toBeLessThan(SIZE / 2)
    }
  })

  test("is the same on every run, holes or not", async () => {
    const first = await compressed(compression)
    const sparse = fresh("sparse")
    await inflate(first, { into: sparse })
    const second = await compressRam(sparse, { into: fresh("again"), compression })
    expect({ ...second, path: "" }).toEqual({ ...first, path: "" })
    expect(second.zeroChunks).toBe(SIZE / CHUNK - 7)
  })

  test("has one independent frame a chunk, which the table tells (OVMS-SNP-040, OVMS-SNP-053)", async () => {
    const made = await compressed(compression)
    const table = new RamTable(made.table, { ref: made.blob.digest, compression, size: SIZE })
    expect(made.table.byteLength).toBe(tableSize(SIZE))
    const blob = readFileSync(made.path)
    let at = 0
    const chunkDigests = createHash("sha256")
    for (let index = 0; index < table.count; index++) {
      const { size, zero, digest } = table.frame(index)
      const chunk = ram.subarray(index * CHUNK, index * CHUNK + CHUNK)
      expect(Buffer.from(digest)).toEqual(
        createHash("sha256")
          .update(blob.subarray(at, at + size))
          .digest(),
      )
      expect(zero).toBe(chunk.every((byte) => byte === 0))
      chunkDigests.update(createHash("sha256").update(chunk).digest())
      at += size
    }
    expect(at).toBe(made.blob.size)
    expect(made.digest).toBe(`sha256:${chunkDigests.digest("hex")}`)
  })

  test.skipIf(missing.length > 0)("is read by the plain tool", async () => {
    const { path } = await compressed(compression)
    tool(compression, "-q", "-t", path)
    expect(tool(compression, "-dc", path).equals(ram)).toBe(true)
  })

  test.skipIf(missing.length > 0).each(PLAIN[compression])(
    "of the plain tool is read: %s",
    async (options) => {
      const path = fresh("plain")
      const piped = options === ""
      const args = piped ? ["-q", "-c"] : ["-q", ...options.split(" "), "-c", ramFile()]
      const { stdout, status } = spawnSync(compression, args, { input: ram, maxBuffer: 1 << 28 })
      expect(status).toBe(0)
      // Skippable frames, and more than one frame with content.
      const skippable = Buffer.from([0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
      for (const blob of [stdout, Buffer.concat([skippable, stdout, skippable])]) {
        writeFileSync(path, blob)
        const made = await compressed(compression)
        const into = fresh("inflated")
        await inflate(made, { into, ref: digestOf(blob), blobSize: blob.length }, path)
        expect(readFileSync(into).equals(ram)).toBe(true)
      }
    },
  )

  test("that is damaged is refused, and nothing is left (OVMS-SNP-061 to OVMS-SNP-064)", async () => {
    const made = await compressed(compression)
    const blob = readFileSync(made.path)
    for (const at of [20, blob.length >> 1, blob.length - 3]) {
      const path = fresh("damaged")
      const bytes = Buffer.from(blob)
      bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at)
      writeFileSync(path, bytes)
      const into = fresh("inflated")
      const withTable = await refusal(inflate(made, { into, table: made.table }, path))
      expect(withTable.code).toBe("OVM_DIGEST_MISMATCH")
      expect(withTable.message).toContain("of the RAM")
      expect((await refusal(inflate(made, { into }, path))).code).toMatch(/DIGEST_MISMATCH|RAM_INVALID/)
      // As someone would who makes the descriptor fit the damage: then the RAM itself says it.
      const fitting = { ref: digestOf(bytes), into }
      expect((await refusal(inflate(made, fitting, path))).code).toMatch(/DIGEST_MISMATCH|RAM_INVALID/)
      expect(existsSync(into)).toBe(false)
    }
  })

  test("with bytes changed anywhere is refused or read as it was, and nothing else happens", async () => {
    const small = fresh("small.ram")
    writeFileSync(small, ram.subarray(0, CHUNK * 4))
    const made = await compressRam(small, { into: fresh("small"), compression })
    const blob = readFileSync(made.path)
    // A multiplicative generator with the constants of MINSTD, so that every run has the same data.
    let seed = 20250929
    const random = (below: number) => {
      seed = (seed * 48271) % 2147483647
      return seed % below
    }
    for (let round = 0; round < 60; round++) {
      const bytes = Buffer.from(blob)
      for (let i = random(3); i >= 0; i--)
        bytes.writeUInt8(random(256), random(round < 20 ? 64 : bytes.length))
      const path = fresh("fuzzed")
      writeFileSync(path, bytes)
      const into = fresh("inflated")
      const fitting = { into, ref: digestOf(bytes) }
      const outcome = await inflate(made, fitting, path).catch((error: unknown) => (error as OvmError).code)
      expect(["OVM_RAM_INVALID", "OVM_DIGEST_MISMATCH", made.digest]).toContain(outcome)
      if (outcome !== made.digest) expect(existsSync(into)).toBe(false)
    }
  })

  test("in a blob of another digest is refused, though it is the RAM itself (OVMS-SNP-062)", async () => {
    const into = fresh("inflated")
    const error = await refusal(inflate(await compressed(compression), { into, ref: digestOf("another") }))
    expect(error.code).toBe("OVM_DIGEST_MISMATCH")
    expect(existsSync(into)).toBe(false)
  })

  test("that is cut off, or has something behind it, is refused", async () => {
    const made = await compressed(compression)
    const blob = readFileSync(made.path)
    for (const bytes of [blob.subarray(0, -7), Buffer.concat([blob, Buffer.from("more of it")])]) {
      const path = fresh("cut")
      writeFileSync(path, bytes)
      expect((await refusal(inflate(made, {}, path))).code).toBe("OVM_SIZE_MISMATCH")
      expect((await refusal(inflate(made, { table: made.table }, path))).code).toBe("OVM_SIZE_MISMATCH")
      const fitting = { ref: digestOf(bytes), blobSize: bytes.length }
      expect((await refusal(inflate(made, fitting, path))).code).toBe("OVM_RAM_INVALID")
    }
  })

  test("that is longer or shorter than declared is refused: a bomb writes nothing beyond (OVMS-SNP-044)", async () => {
    const made = await compressed(compression)
    const longer = await refusal(inflate(made, { size: 1 << 20 }))
    expect(longer.code).toBe("OVM_RAM_INVALID")
    expect(longer.message).toContain("more than 1048576")
    const shorter = await refusal(inflate(made, { size: 8 << 20 }))
    expect(shorter.code).toBe("OVM_RAM_INVALID")
    expect(shorter.message).toContain("4194304 bytes, not 8388608")
    expect((await refusal(inflate(made, { size: 12345 }))).code).toBe("OVM_RAM_INVALID")
  })

  test("frames that hold more or less than a chunk are refused, whatever the table says", async () => {
    const made = await compressed(compression)
    const other = fresh("half.ram")
    writeFileSync(other, ram.subarray(0, CHUNK * 2))
    const two = await compressRam(other, { into: fresh("half"), compression })
    const table = new RamTable(two.table, { ref: two.blob.digest, compression, size: two.size })
    // Both frames of it as if they were one, in a table of one chunk.
    const bytes = readFileSync(two.path)
    const ref = digestOf(bytes)
    const digest = createHash("sha256").update(bytes).digest()
    expect(table.count).toBe(2)
    const lying = writeTable({ ref, compression, size: CHUNK }, [{ size: bytes.length, zero: false, digest }])
    const options = { ref, blobSize: bytes.length, size: CHUNK, table: lying }
    expect((await refusal(inflate(made, options, two.path))).code).toBe("OVM_RAM_INVALID")
  })

  test("a flag that lies is found (OVMS-SNP-061)", async () => {
    const made = await compressed(compression)
    for (const chunk of [0, 10]) {
      const table = Buffer.from(made.table)
      const at = 64 + 40 * chunk + 4
      table.writeUInt32LE(1 - table.readUInt32LE(at), at)
      const error = await refusal(inflate(made, { table }))
      expect(error.code).toBe("OVM_RAM_INVALID")
      expect(error.message).toContain(`chunk ${chunk} `)
    }
  })

  test("is inflated in memory that does not grow with it (OVMS-SNP-045)", async () => {
    const big = fresh("big.ram")
    const size = 512 << 20
    const fd = openSync(big, "w")
    for (let at = 0; at < size; at += CHUNK * 8) writeSync(fd, ram.subarray(0, CHUNK * 8))
    closeSync(fd)
    const { path, blob, table, digest } = await compressRam(big, { into: fresh("big"), compression })
    rmSync(big)
    const tableFile = fresh("table")
    writeFileSync(tableFile, table)
    const into = fresh("inflated")
    const options = { into, ref: blob.digest, blobSize: blob.size, compression, size, digest }
    // By a process of its own, whose memory at its largest is known. Not by getrusage(2), which counts its parent's as
    // well.
    const script = `
      import { readFileSync, rmSync } from "node:fs"
      import { inflateRam } from ${JSON.stringify(join(import.meta.dir, "inflate.ts"))}
      const options = ${JSON.stringify(options)}
      for (const more of [{ table: readFileSync(${JSON.stringify(tableFile)}) }, {}]) {
        await inflateRam(${JSON.stringify(path)}, { ...options, ...more })
        rmSync(options.into)
      }
      console.log(/^VmHWM:\\s+(\\d+) kB$/m.exec(readFileSync("/proc/self/status", "latin1"))[1] * 1024)`
    const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" })
    const most = Number(await new Response(child.stdout).text())
    expect(most).toBeGreaterThan(1 << 20)
    expect(most).toBeLessThan(size / 2)
  }, 180_000)

  test("with another memory digest is refused (OVMS-SNP-063)", async () => {
    const made = await compressed(compression)
    for (const table of [{ table: made.table }, {}]) {
      const error = await refusal(inflate(made, { digest: digestOf("another"), ...table }))
      expect(error.code).toBe("OVM_DIGEST_MISMATCH")
      expect(error.message).toContain("memory digest")
    }
  })
})

test("a bomb of zeros stops at the declared size", async () => {
  const path = fresh("bomb")
  const bomb = Bun.zstdCompressSync(new Uint8Array(64 << 20))
  writeFileSync(path, bomb)
  const options = { into: fresh("inflated"), compression: "zstd", size: 1 << 20 } as const
  const error = await refusal(
    inflateRam(path, { ...options, ref: digestOf(bomb), blobSize: bomb.byteLength }),
  )
  expect(error.code).toBe("OVM_RAM_INVALID")
  expect(existsSync(options.into)).toBe(false)
})

test("a bomb behind the frame of a chunk, or in it, is refused before it is inflated", () => {
  const zeros = Bun.zstdCompressSync(new Uint8Array(CHUNK))
  const bomb = Bun.zstdCompressSync(new Uint8Array(64 << 20))
  // The blocks of the bomb in a frame that says that it holds one chunk.
  const lying = Buffer.concat([zeros.subarray(0, 9), bomb.subarray(10)])
  for (const [frame, reason] of [
    [Buffer.concat([zeros, bomb]), "one Zstandard frame"],
    [bomb, "67108864 bytes"],
    [lying, "damaged"],
  ] as const) {
    let thrown: unknown
    try {
      inflateZstd(frame)
    } catch (error) {
      thrown = error
    }
    expect((thrown as OvmError).code).toBe("OVM_RAM_INVALID")
    expect((thrown as OvmError).message).toContain(reason)
  }
})

test("LZ4's legacy format is refused by name", async () => {
  const path = fresh("legacy")
  const bytes = Buffer.from("02214c1800000000", "hex")
  writeFileSync(path, bytes)
  const options = { into: fresh("inflated"), compression: "lz4", size: 1 << 20 } as const
  const error = await refusal(inflateRam(path, { ...options, ref: digestOf(bytes), blobSize: bytes.length }))
  expect(error.code).toBe("OVM_RAM_INVALID")
  expect(error.message).toContain("legacy")
})

test("RAM that is not whole chunks, or not there, is refused, and an existing file is left alone", async () => {
  const odd = fresh("odd")
  writeFileSync(odd, "odd")
  expect((await refusal(compressRam(odd, { into: fresh("x") }))).code).toBe("OVM_RAM_INVALID")
  expect((await refusal(compressRam(fresh("none"), { into: fresh("x") }))).code).toBe("OVM_FILE_UNREADABLE")
  const there = fresh("there")
  writeFileSync(there, "keep")
  await refusal(compressRam(ramFile(), { into: there }))
  expect(readFileSync(there, "utf8")).toBe("keep")
})

test("a cancelled compression leaves nothing", async () => {
  const into = fresh("cancelled")
  const error = await refusal(compressRam(ramFile(), { into, signal: AbortSignal.abort() }))
  expect(error.code).toBe("OVM_INTERRUPTED")
  expect(existsSync(into)).toBe(false)
})

describe("the table of frames (OVMS-SNP-054)", () => {
  const facts = { ref: digestOf("blob"), compression: "zstd", size: CHUNK * 2 } as const
  const frame = { size: 26, zero: true, digest: createHash("sha256").update("frame").digest() }
  const table = () => Buffer.from(writeTable(facts, [frame, frame]))
  const changed = (change: (bytes: Buffer) => void) => {
    const bytes = table()
    change(bytes)
    return bytes
  }

  test.each([
    ["magic", changed((b) => b.write("X")), "OVMS-SNP-050"],
    ["version", changed((b) => b.writeUInt32LE(2, 8)), "OVMS-SNP-050"],
    ["chunk size", changed((b) => b.writeUInt32LE(65536, 12)), "OVMS-SNP-050"],
    ["RAM size", changed((b) => b.writeBigUInt64LE(2n ** 63n, 16)), "OVMS-SNP-052"],
    ["count", changed((b) => b.writeUInt32LE(0xffffffff, 24)), "OVMS-SNP-050"],
    ["unknown compression", changed((b) => b.writeUInt32LE(0, 28)), "OVMS-SNP-050"],
    ["other compression", changed((b) => b.writeUInt32LE(2, 28)), "OVMS-SNP-052"],
    ["other blob", changed((b) => b.writeUInt8(1, 40)), "OVMS-SNP-052"],
    ["frame of nothing", changed((b) => b.writeUInt32LE(0, 64)), "OVMS-SNP-051"],
    ["huge frame", changed((b) => b.writeUInt32LE(327681, 104)), "OVMS-SNP-051"],
    ["unknown flag", changed((b) => b.writeUInt32LE(2, 68)), "OVMS-SNP-050"],
    ["cut off", table().subarray(0, -1), "OVMS-SNP-050"],
    ["trailing bytes", Buffer.concat([table(), Buffer.alloc(40)]), "OVMS-SNP-050"],
    ["empty", Buffer.alloc(0), "OVMS-SNP-050"],
  ])("%s is refused", (_name, bytes, requirement) => {
    expect(new RamTable(table(), facts).blobSize).toBe(52)
    let thrown: unknown
    try {
      new RamTable(bytes, facts)
    } catch (error) {
      thrown = error
    }
    expect((thrown as OvmError).code).toBe("OVM_SNAPSHOT_INVALID")
    expect((thrown as OvmError).message).toContain(requirement)
  })
})
