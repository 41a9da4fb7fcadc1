import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { inspectDisk } from "./inspect.ts"
import { createOverlay } from "./overlay.ts"

const folder = mkdtempSync(join(tmpdir(), "ovm-inspect-"))
afterAll(() => rmSync(folder, { recursive: true }))
const MiB = 2 ** 20
const qcow2 = { format: "qcow2", role: "base" } as const

describe.skipIf(!qemuImg.present)(`images of qemu-img ${qemuImg.note}`, () => {
  const kinds: [string, string, Record<string, unknown>][] = [
    ["version 2", "compat=0.10", { version: 2 }],
    ["version 3", "compat=1.1", { version: 3, clusterSize: 65_536 }],
    ["clusters of 512 bytes", "cluster_size=512", { clusterSize: 512 }],
    ["clusters of 2 MiB", "cluster_size=2M", { clusterSize: 2 * MiB }],
    ["1-bit refcounts", "refcount_bits=1", {}],
    ["64-bit refcounts", "refcount_bits=64", {}],
    ["lazy refcounts", "lazy_refcounts=on", {}],
    ["extended L2 entries", "extended_l2=on,cluster_size=128k", { extendedL2: true }],
    ["zstd", "compression_type=zstd", { compression: "zstd" }],
    ["preallocated metadata", "preallocation=metadata", {}],
  ]
  for (const [name, options, expected] of kinds)
    test(`${name}: empty, written, compressed, zeroed`, async () => {
      const path = join(folder, `${name}.qcow2`)
      const size = 5 * MiB + 512
      qemuImg.run("create", "-q", "-f", "qcow2", "-o", options, path, String(size))
      expect(await inspectDisk(path, qcow2)).toMatchObject({ virtualSize: size, qcow2: expected })
      qemuImg.io(path, "write -P 1 0 700k", `write -P 2 ${size - 512} 512`, "write -z 1M 256k")
      // A cluster that is allocated already cannot be written compressed.
      const compressible = !options.includes("preallocation")
      if (compressible) qemuImg.io(path, "write -c -P 3 2M 2M")
      const info = await inspectDisk(path, qcow2)
      expect(info).toMatchObject({ virtualSize: size, qcow2: expected })
      expect(info.qcow2?.allocatedClusters).toBeGreaterThan(0)
      expect(info.qcow2?.compressedClusters).toBe(
        compressible ? (2 * MiB) / (info.qcow2?.clusterSize ?? 0) : 0,
      )
      expect(info.qcow2?.backingFile).toBeUndefined()
    })

  test("a converted, compressed image", async () => {
    const raw = join(folder, "source.raw")
    writeFileSync(raw, Buffer.alloc(MiB, "some words "))
    const path = join(folder, "compressed.qcow2")
    qemuImg.run("convert", "-c", "-O", "qcow2", raw, path)
    expect((await inspectDisk(path, qcow2)).qcow2).toMatchObject({
      allocatedClusters: 16,
      compressedClusters: 16,
    })
  })

  test("a diff's backing file is shown and never opened; a base may have none", async () => {
    const base = join(folder, "base.qcow2")
    const path = join(folder, "diff.qcow2")
    qemuImg.run("create", "-q", "-f", "qcow2", base, "1M")
    qemuImg.run("create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
    rmSync(base)
    const info = await inspectDisk(path, { format: "qcow2", role: "diff" })
    expect(info.qcow2).toMatchObject({ backingFile: base, backingFormat: "qcow2" })
    const error = await refusal(inspectDisk(path, qcow2))
    expect(error.code).toBe("OVM_DISK_INVALID")
    expect(error.message).toContain(path)
    expect(error.message).toContain("backing file")
  })

  const refused: [string, string[], string][] = [
    ["external data file", ["-o", "data_file=outside.raw"], "external data file"],
    [
      "encryption",
      ["--object", "secret,id=s,data=x", "-o", "encrypt.format=aes,encrypt.key-secret=s"],
      "is encrypted",
    ],
  ]
  for (const [name, options, reason] of refused)
    test(`${name} is refused`, async () => {
      const path = join(folder, `${name}.qcow2`)
      execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", ...options, path, "1M"], {
        cwd: folder,
        stdio: "ignore",
      })
      for (const role of ["base", "diff"] as const)
        expect((await refusal(inspectDisk(path, { format: "qcow2", role }))).message).toBe(
          `${path}: ${expectedReason(reason)}`,
        )
    })

  test("internal snapshots are refused", async () => {
    const path = join(folder, "snapshot.qcow2")
    qemuImg.run("create", "-q", "-f", "qcow2", path, "1M")
    qemuImg.run("snapshot", "-c", "first", path)
    expect((await refusal(inspectDisk(path, qcow2))).message).toBe(`${path}: has internal snapshots`)
  })
})

const expectedReason = (reason: string) =>
  reason === "external data file" ? "keeps its data in an external data file" : reason

describe("hostile qcow2", () => {
  const good = join(folder, "good.qcow2")
  let bytes: Buffer
  beforeAll(async () => {
    await createOverlay(good, 600 * MiB)
    bytes = readFileSync(good)
  })

  const L1 = 3 * 65_536
  const END = 4 * 65_536
  type Edit = (view: DataView) => void
  const u32 =
    (at: number, value: number): Edit =>
    (view) =>
      view.setUint32(at, value)
  const u64 =
    (at: number, value: bigint): Edit =>
    (view) =>
      view.setBigUint64(at, value)
  /** The first L1 entry points to an L2 table in the refcount block's neighbour: the L1's own cluster, past the L1. */
  const withL2 = (entry: bigint, second = 0n): Edit[] => [
    u64(L1, BigInt(END)),
    u64(END, entry),
    u64(END + 8, second),
  ]

  const cases: [string, Edit[], string][] = [
    ["bad magic", [u32(0, 0x4b444d56)], "magic"],
    ["version 1", [u32(4, 1)], "unknown qcow2 version 1"],
    ["version 4", [u32(4, 4)], "unknown qcow2 version 4"],
    ["cluster bits 8", [u32(20, 8)], "cluster bits 8"],
    ["cluster bits 2^32-1", [u32(20, 0xffffffff)], "cluster bits 4294967295"],
    ["cluster bits 22", [u32(20, 22)], "cluster bits 22"],
    ["header length 96", [u32(100, 96)], "header length of 96"],
    ["header length 2^31", [u32(100, 2 ** 31)], "header length"],
    ["dirty", [u64(72, 1n)], "dirty"],
    ["corrupt", [u64(72, 2n)], "corrupt"],
    ["external data bit", [u64(72, 4n)], "external data file"],
    ["unknown incompatible bit 5", [u64(72, 32n)], "unknown incompatible features (bits 0x20)"],
    ["unknown incompatible bit 63", [u64(72, 1n << 63n)], "unknown incompatible features"],
    ["compression bit without type", [u64(72, 8n)], "compression type"],
    ["compression type without bit", [(view) => view.setUint8(104, 1)], "compression type"],
    [
      "unknown compression type",
      [u64(72, 8n), (view) => view.setUint8(104, 9)],
      "unknown compression type 9",
    ],
    ["encryption", [u32(32, 2)], "encrypted"],
    ["internal snapshots", [u32(60, 1)], "internal snapshots"],
    ["refcount order 7", [u32(96, 7)], "refcount order 7"],
    ["virtual size 16 TiB + 512", [u64(24, 2n ** 44n + 512n)], "above the limit"],
    ["virtual size 2^64-1", [u64(24, 2n ** 64n - 1n)], "above the limit"],
    ["virtual size 0", [u64(24, 0n)], "positive multiple of 512"],
    ["virtual size 513", [u64(24, 513n)], "positive multiple of 512"],
    ["L1 of 2^32-1 entries", [u32(36, 0xffffffff)], "claims a L1 table"],
    ["L1 of 32 MiB that is not there", [u32(36, 4 * MiB)], "L1 table is truncated"],
    ["L1 too small", [u32(36, 1)], "too small"],
    ["L1 empty", [u32(36, 0)], "too small"],
    ["L1 outside the file", [u64(40, BigInt(1 << 30))], "L1 table is truncated or lies outside"],
    ["L1 at 2^64-cluster", [u64(40, 2n ** 64n - 65_536n)], "L1 table"],
    ["L1 over the header", [u64(40, 0n)], "L1 table at 0"],
    ["L1 unaligned", [u64(40, BigInt(L1 + 8))], "L1 table at"],
    ["refcount table outside the file", [u64(48, 2n ** 40n)], "refcount table is truncated or lies outside"],
    ["refcount table huge", [u32(56, 0xffffffff)], "claims a refcount table"],
    ["no refcount table", [u32(56, 0)], "no refcount table"],
    ["refcount block outside the file", [u64(65_536, 2n ** 50n)], "refcount block 0"],
    ["refcount block unaligned", [u64(65_536, 131_073n)], "refcount block 0 is not"],
    ["L2 outside the file", [u64(L1, 2n ** 40n)], "L2 table 0 is truncated or lies outside"],
    ["L2 unaligned", [u64(L1, 512n)], "L2 table 0 is not at a cluster"],
    ["L1 entry with reserved bits", [u64(L1, BigInt(END) | 1n)], "reserved bits"],
    ["one L2 table twice", [u64(L1, BigInt(END)), u64(L1 + 8, BigInt(END))], "used more than once"],
    ["data beyond the file", withL2(2n ** 40n), "guest cluster 0 points to data beyond"],
    ["data unaligned", withL2(0n, 512n), "guest cluster 1 is not at a cluster"],
    ["data entry with reserved bits", withL2(2n | BigInt(END)), "reserved bits"],
    ["compressed data beyond the file", withL2((1n << 62n) | (2n ** 40n)), "compressed data beyond"],
    [
      "compressed data with an absurd length",
      withL2((1n << 62n) | (0xffn << 54n) | BigInt(END + 65_024)),
      "compressed data beyond",
    ],
    [
      "extension that lies about its length",
      [u32(112, 0x1234), u32(116, 0xfffffff0)],
      "extension 0x1234 claims",
    ],
    ["extension longer than the cluster", [u32(112, 0x1234), u32(116, 65_536)], "extension 0x1234 claims"],
    ["external data file extension", [u32(112, 0x44415441), u32(116, 8)], "external data file"],
    ["encryption extension", [u32(112, 0x0537be77), u32(116, 16)], "encryption header"],
    ["backing format too long", [u32(112, 0xe2792aca), u32(116, 200)], "backing format name"],
    [
      "bitmaps outside the file",
      [u32(112, 0x23852875), u32(116, 24), u64(128, 8n), u64(136, 2n ** 60n)],
      "bitmap directory",
    ],
    ["backing name of 2^32-1 bytes", [u64(8, 200n), u32(16, 0xffffffff)], "backing file name of"],
    ["backing name outside the cluster", [u64(8, 2n ** 60n), u32(16, 8)], "outside the header's cluster"],
    ["backing name over the header", [u64(8, 8n), u32(16, 8)], "outside the header's cluster"],
  ]
  for (const [name, edits, reason] of cases)
    test(name, async () => {
      const path = join(folder, `${name.replaceAll("/", " ")}.hostile`)
      const copy = Buffer.alloc(END + 65_536)
      bytes.copy(copy)
      for (const edit of edits) edit(new DataView(copy.buffer, copy.byteOffset, copy.length))
      writeFileSync(path, copy)
      for (const role of ["base", "diff"] as const) {
        const error = await refusal(inspectDisk(path, { format: "qcow2", role }))
        expect(error.code).toBe("OVM_DISK_INVALID")
        expect(error.message).toStartWith(`${path}: `)
        expect(error.message).toContain(reason)
      }
      rmSync(path)
    })

  test("cut off anywhere, it is refused", async () => {
    const path = join(folder, "short.qcow2")
    for (const length of [0, 3, 7, 8, 71, 103, 104, 65_536, 131_072, 196_608, 200_000, END - 1].reverse()) {
      writeFileSync(path, bytes)
      truncateSync(path, length)
      // The L1 table's 16 bytes are all of the last cluster that is used.
      if (length > L1 + 16) await inspectDisk(path, qcow2)
      else expect((await refusal(inspectDisk(path, qcow2))).code).toBe("OVM_DISK_INVALID")
    }
  })

  test("a file of 8 TiB of holes costs nothing", async () => {
    const path = join(folder, "holes.qcow2")
    const copy = Buffer.from(bytes)
    copy.writeUInt32BE(4 * MiB, 36)
    writeFileSync(path, copy)
    truncateSync(path, 2 ** 43)
    expect((await inspectDisk(path, qcow2)).fileSize).toBe(2 ** 43)
  })

  test("flipped bits never give anything but a verdict", async () => {
    const path = join(folder, "fuzzed.qcow2")
    const source = Buffer.alloc(END + 2 * 65_536)
    bytes.copy(source)
    source.writeBigUInt64BE(BigInt(END), L1)
    source.writeBigUInt64BE(BigInt(END + 65_536), END)
    writeFileSync(path, source)
    expect((await inspectDisk(path, qcow2)).qcow2?.allocatedClusters).toBe(1)
    let seed = 12_345
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
      return Math.floor((seed / 2 ** 32) * below)
    }
    const places = [0, 0, 0, 65_536, L1, END] // where something stands; the header thrice
    for (let round = 0; round < 1500; round++) {
      const copy = Buffer.from(source)
      for (let flips = 1 + random(3); flips > 0; flips--) {
        const at = (places[random(places.length)] ?? 0) + random(120)
        copy[at] = (copy[at] ?? 0) ^ (1 << random(8))
      }
      writeFileSync(path, random(4) ? copy : copy.subarray(0, random(copy.length)))
      const result = await inspectDisk(path, { format: "qcow2", role: "diff" }).catch(
        (thrown: unknown) => thrown,
      )
      if (result instanceof Error)
        expect(result).toMatchObject({ name: "OvmError", code: "OVM_DISK_INVALID" })
    }
  })
})

describe("raw disks and files that are none", () => {
  test("format is what was declared, whatever the first bytes say", async () => {
    const path = join(folder, "disguised.raw")
    await createOverlay(path, MiB)
    const info = await inspectDisk(path, { format: "raw", role: "base" })
    const looksLike = "a qcow2 disk"
    expect(info).toEqual({ path, format: "raw", fileSize: 4 * 65_536, virtualSize: 4 * 65_536, looksLike })
  })

  test("refuses odd sizes, empty files, diffs and what is above the limit", async () => {
    const path = join(folder, "odd.raw")
    for (const [length, reason] of [
      [0, "positive multiple"],
      [511, "positive multiple"],
      [513, "positive multiple"],
      [2048, "limit of 1024"],
    ] as const) {
      writeFileSync(path, Buffer.alloc(length))
      const error = await refusal(inspectDisk(path, { format: "raw", role: "base", limit: 1024 }))
      expect(error).toMatchObject({ code: "OVM_DISK_INVALID", message: expect.stringContaining(reason) })
    }
    expect((await refusal(inspectDisk(path, { format: "raw", role: "diff" }))).message).toContain(
      "first layer",
    )
  })

  test("a missing file, a folder, a FIFO", async () => {
    const missing = join(folder, "missing")
    expect(await refusal(inspectDisk(missing, qcow2))).toMatchObject({
      code: "OVM_FILE_UNREADABLE",
      message: expect.stringContaining(missing),
    })
    expect(await refusal(inspectDisk(folder, qcow2))).toMatchObject({ code: "OVM_FILE_UNREADABLE" })
    const fifo = join(folder, "fifo")
    execFileSync("mkfifo", [fifo])
    expect((await refusal(inspectDisk(fifo, qcow2))).message).toBe(
      `${fifo} is a named pipe, not a regular file`,
    )
  })

  test("an aborted inspection says so", async () => {
    const path = join(folder, "aborted.qcow2")
    const copy = readFileSync(join(folder, "good.qcow2"))
    const grown = Buffer.concat([copy, Buffer.alloc(65_536)])
    grown.writeBigUInt64BE(BigInt(4 * 65_536), 3 * 65_536)
    writeFileSync(path, grown)
    const error = await refusal(inspectDisk(path, { ...qcow2, signal: AbortSignal.abort() }))
    expect(error.code).toBe("OVM_INTERRUPTED")
  })
})
