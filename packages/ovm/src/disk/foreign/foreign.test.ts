import { afterAll, describe, expect, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { deflateRawSync, gzipSync } from "node:zlib"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { tarHeader } from "../../content/archive/tar.ts"
import { inspectDisk } from "../inspect.ts"

const folder = mkdtempSync(join(tmpdir(), "ovm-foreign-"))
afterAll(() => rmSync(folder, { recursive: true }))

const MiB = 2 ** 20
const latin = (text: string) => Buffer.from(text, "latin1")

/** `parts` as a file of whole sectors, so that its length alone tells nothing. */
function file(name: string, ...parts: readonly Uint8Array[]): string {
  const path = join(folder, name)
  const bytes = Buffer.concat(parts)
  writeFileSync(path, Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]))
  return path
}

/**
 * What the file is said to look like: by a packer that guesses, which refuses it, and by one that was told that it is
 * raw.
 */
async function looks(path: string): Promise<{ name: string | undefined; hint: string | undefined }> {
  const raw = { format: "raw", role: "base" } as const
  const name = (await inspectDisk(path, raw)).looksLike
  if (name === undefined) {
    await inspectDisk(path, { ...raw, guessed: true })
    return { name, hint: undefined }
  }
  const error = await refusal(inspectDisk(path, { ...raw, guessed: true }))
  expect(error).toMatchObject({ code: "OVM_DISK_INVALID", detail: { path, requirement: "OVMS-SRC-020" } })
  expect(error.message).toContain(name)
  expect(error.hint).toContain("--format raw")
  return { name, hint: error.hint }
}

function tar(...names: string[]): Buffer {
  return Buffer.concat(
    names.flatMap((name) => [tarHeader(name, 3), Buffer.alloc(512, "abc")]).concat(Buffer.alloc(1024)),
  )
}

function present(program: string): boolean {
  return spawnSync(program, ["--version"]).error === undefined
}

describe.skipIf(!qemuImg.present)(`disks of qemu-img ${qemuImg.note}`, () => {
  const formats: [string, string, string, string[]][] = [
    ["qcow of version 1", "a qcow disk of version 1", "qcow", []],
    ["QED", "a QED disk", "qed", []],
    ["Parallels", "a Parallels disk", "parallels", []],
    ["VMDK", "a VMDK disk", "vmdk", []],
    ["VMDK of one stream", "a VMDK disk", "vmdk", ["-o", "subformat=streamOptimized"]],
    ["VMDK of two files", "a VMDK disk", "vmdk", ["-o", "subformat=monolithicFlat"]],
    ["VMDK of many files", "a VMDK disk", "vmdk", ["-o", "subformat=twoGbMaxExtentSparse"]],
    ["VHDX", "a VHDX disk", "vhdx", []],
    ["VDI", "a VDI disk", "vdi", []],
    ["dynamic VHD", "a VHD disk", "vpc", []],
    ["fixed VHD", "a VHD disk", "vpc", ["-o", "subformat=fixed"]],
  ]
  for (const [title, name, format, options] of formats)
    test(`${title} is told by its bytes, and by the command for it (OVMS-DSK-040)`, async () => {
      const path = join(folder, title.replaceAll(" ", "-"))
      qemuImg.run("create", "-q", "-f", format, ...options, path, "16M")
      // The descriptor alone, and the disk that has it in front of its own.
      for (const own of format === "vmdk" ? [path, path.replace(/$/, "-s001.vmdk")] : [path]) {
        const bytes = spawnSync("test", ["-s", own]).status === 0 ? readFileSync(own) : undefined
        if (!bytes) continue
        const found = await looks(file("foreign", bytes.length % 512 === 0 ? bytes : Buffer.concat([bytes])))
        expect(found).toEqual({
          name,
          hint: expect.stringContaining(`qemu-img convert -f ${format} -O qcow2`),
        })
      }
    })

  test("a qcow2 that is declared raw; and one where a raw disk was found to be none", async () => {
    const path = join(folder, "a.qcow2")
    qemuImg.run("create", "-q", "-f", "qcow2", path, "1M")
    const whole = file("whole.qcow2", readFileSync(path))
    expect((await inspectDisk(whole, { format: "raw", role: "base" })).looksLike).toBe("a qcow2 disk")
    const odd = await refusal(inspectDisk(path, { format: "raw", role: "base" }))
    expect(odd.message).toMatch(/not a positive multiple of 512: it looks like a qcow2 disk$/)
    const other = await refusal(
      inspectDisk(file("b.qcow2", gzipSync(randomBytes(9000))), { format: "qcow2", role: "base" }),
    )
    expect(other.message).toContain("looks like a file compressed with gzip")
    // Something stands behind it, and the length of both is that of a disk.
    const packed = gzipSync(randomBytes(9000))
    const behind = file("behind.gz", packed, Buffer.alloc(512 - (packed.length % 512), 7))
    expect((await looks(behind)).name).toBe("a file compressed with gzip")
  })

  test("a fixed VHD's footer counts behind a table of partitions too, and with 511 bytes", async () => {
    const path = join(folder, "fixed.vhd")
    qemuImg.run("create", "-q", "-f", "vpc", "-o", "subformat=fixed,force_size", path, "1M")
    const footer = readFileSync(path).subarray(-512)
    expect((await looks(file("mbr.vhd", mbr(Buffer.alloc(MiB)), footer))).name).toBe("a VHD disk")
    const short = join(folder, "short.vhd")
    writeFileSync(short, Buffer.concat([Buffer.alloc(MiB), footer.subarray(0, 511)]))
    const error = await refusal(inspectDisk(short, { format: "raw", role: "base", guessed: true }))
    expect(error.message).toContain("a VHD disk")
  })
})

const ZEROS = Buffer.alloc(100_000)

describe("compressed files and archives (OVMS-DSK-040)", () => {
  const name = "n".repeat(400)
  const made: [string, string, string, () => Uint8Array][] = [
    ["gzip", "compressed with gzip", "gunzip", () => gzipSync(ZEROS)],
    [
      "gzip with a long name",
      "compressed with gzip",
      "gunzip",
      () =>
        Buffer.concat([
          latin(`\x1f\x8b\x08\x08\0\0\0\0\0\x03${name}\0`),
          deflateRawSync(randomBytes(70_000)),
        ]),
    ],
    ["zstd", "compressed with zstd", "unzstd", () => Bun.zstdCompressSync(ZEROS)],
    [
      "zstd behind a frame to be skipped",
      "compressed with zstd",
      "unzstd",
      () => Buffer.concat([latin("\x50\x2a\x4d\x18\x04\0\0\0abcd"), Bun.zstdCompressSync(ZEROS)]),
    ],
    ["tar", "a tar archive", "tar xf", () => tar("disk.img")],
    ["OVA", "an OVA", "tar xf", () => tar("x.ovf", "x.vmdk")],
    ["docker save", "container image", "ovm load", () => tar("abc/layer.tar", "manifest.json")],
    ["OCI archive", "container image", "ovm load", () => tar("oci-layout", "index.json")],
    ["layer", "layer of a container image", "no disk", () => tar("./etc/passwd", "usr/bin/x")],
    ["compressed layer", "layer of a container image", "no disk", () => gzipSync(tar("etc/passwd"))],
    ["image manifest", "manifest of an image", "no disk", () => latin('{"schemaVersion":2,"layers":[]}')],
    ["JSON", "a JSON document", "ovm pack -f", () => latin('{"schemaVersion":1}')],
    ["cpio", "a cpio archive", "--initrd", () => latin(`070701${"0".repeat(104)}TRAILER!!!\0`)],
    ["ELF", "an ELF file", "--kernel", () => latin("\x7fELF\x02\x01\x01")],
    ["7z", "a 7z archive", "7z x", () => latin("7z\xbc\xaf\x27\x1c\0\x04")],
    ["VMDK of old", "a VMDK disk", "-f vmdk", () => latin("COWD\x01\0\0\0")],
    ["DMG", "Apple disk image", "-f dmg", () => dmg()],
  ]
  for (const [title, expected, command, make] of made)
    test(title, async () => {
      const { name, hint } = await looks(file("made", make()))
      expect(name).toContain(expected)
      expect(hint).toContain(command)
    })

  const tools: [string, string[], string][] = [
    ["tar", ["--format=v7", "-cf-", "in"], "a tar archive"],
    ["tar", ["--format=ustar", "-cf-", "in"], "a tar archive"],
    ["tar", ["--format=pax", "-cf-", "in"], "a tar archive"],
    ["tar", ["--format=gnu", "-cf-", "in"], "a tar archive"],
    ["tar", ["--format=gnu", "-V", "a label", "-cf-", "in"], "a tar archive"],
    ["xz", ["-c", "in"], "compressed with xz"],
    ["bzip2", ["-c", "in"], "compressed with bzip2"],
    ["bzip2", ["-c", "/dev/null"], "compressed with bzip2"],
    ["gzip", ["-c", "in"], "compressed with gzip"],
    ["gzip", ["-1nc", "in"], "compressed with gzip"],
    ["zstd", ["-qc", "in"], "compressed with zstd"],
    ["zstd", ["-qc", "--no-check", "--long", "in"], "compressed with zstd"],
    ["lz4", ["-c", "in"], "compressed with lz4"],
    ["lz4", ["-lc", "in"], "compressed with lz4"],
    ["lz4", ["-BDc", "--content-size", "in"], "compressed with lz4"],
    ["zip", ["-q", "-", "in"], "a zip archive"],
    ["zip", ["-q0", "-", "in"], "a zip archive"],
  ]
  for (const [program, args, expected] of tools)
    test.skipIf(!present(program))(`${program} ${args.join(" ")}`, async () => {
      writeFileSync(join(folder, "in"), Buffer.concat([ZEROS, randomBytes(50_000)]))
      const { stdout } = spawnSync(program, args, { cwd: folder, maxBuffer: 1 << 24 })
      expect((await looks(file("tool", stdout))).name).toContain(expected)
    })
})

function dmg(): Buffer {
  const trailer = Buffer.alloc(512)
  trailer.write("koly")
  trailer.writeUInt32BE(4, 4)
  trailer.writeUInt32BE(512, 8)
  return Buffer.concat([ZEROS, Buffer.alloc(512 - (ZEROS.length % 512)), trailer])
}

/** `disk` with a table of one partition. */
function mbr(disk: Buffer): Buffer {
  disk.fill(0, 446, 510)
  disk[450] = 0x83
  disk.writeUInt32LE(2048, 454)
  disk.writeUInt32LE(100, 458)
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}

describe("what may be a raw disk is one, without a word", () => {
  const heads: [string, string][] = [
    ["zeros", ""],
    ["text", "#!/bin/sh\necho a disk may begin with a script\n"],
    ["a brace", "{ is no JSON"],
    ["LUKS", "LUKS\xba\xbe\0\x02"],
    ["squashfs", "hsqs"],
    ["XFS", "XFSB"],
    ["half of gzip's magic number", "\x1f\x8b"],
    ["gzip's magic number and nothing to inflate", "\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff\xff\xff"],
    ["gzip with reserved flags", "\x1f\x8b\x08\xff"],
    ["xz with a wrong checksum", "\xfd7zXZ\0\0\x04abcd"],
    ["zstd with its reserved bit", "\x28\xb5\x2f\xfd\x08"],
    ["lz4 of version 2", "\x04\x22\x4d\x18\x80\x40"],
    ["zip of a method that is none", "PK\x03\x04\x14\0\0\0\xff\xff"],
    ["QED with odd clusters", "QED\0\x01\x02\x03\0"],
    ["VHD's word alone", "conectix"],
    ["DMG's word alone", "koly"],
    ["VDI's text alone", "<<< Oracle VM VirtualBox Disk Image >>>\n"],
    ["the name of an archive's file", "disk.img"],
  ]
  for (const [title, head] of heads)
    test(title, async () => {
      expect((await looks(file("raw", latin(head), Buffer.alloc(2048)))).name).toBeUndefined()
      expect((await looks(file("raw", Buffer.alloc(512 * 9), latin(head)))).name).toBeUndefined()
    })

  test("a disk of a version that nobody reads is no raw one (OVMS-DSK-040)", async () => {
    const footer = Buffer.alloc(512)
    footer.write("conectix")
    footer.writeUInt32BE(0x10000, 12)
    footer.writeUInt32BE(5, 60)
    const made: [string, Uint8Array][] = [
      ["a VMDK disk", latin("KDMV\x09\0\0\0")],
      ["a VDI disk", latin(`${"\0".repeat(64)}\x7f\x10\xda\xbe\x01\0\x02\0`)],
      ["a VHD disk", footer],
    ]
    for (const [name, head] of made) expect((await looks(file("later", head))).name).toBe(name)
  })

  test("a CD-ROM and a file system without partitions", async () => {
    expect(
      (await looks(file("iso", Buffer.alloc(32_769), latin("CD001\x01"), Buffer.alloc(4096)))).name,
    ).toBe(undefined)
    const disk = join(folder, "ext4")
    writeFileSync(disk, Buffer.alloc(4 * MiB))
    const made = spawnSync("mke2fs", ["-q", "-t", "ext4", disk], {
      env: { ...process.env, PATH: `${process.env.PATH}:/sbin:/usr/sbin` },
    })
    if (made.status === 0) expect((await looks(disk)).name).toBeUndefined()
  })

  test("whatever has a table of partitions, be its boot code what it will", async () => {
    const beginnings = [
      gzipSync(randomBytes(2000)),
      latin("KDMV\x01\0\0\0"),
      latin("QFI\xfb\0\0\0\x01"),
      latin("vhdxfile"),
      tar("etc/passwd"),
      latin("\x7fELF\x02\x01\x01"),
    ]
    for (const beginning of beginnings) {
      const disk = Buffer.alloc(MiB)
      beginning.copy(disk)
      expect((await looks(file("mbr", mbr(disk)))).name).toBeUndefined()
      const gpt = Buffer.alloc(MiB)
      beginning.copy(gpt)
      gpt.write("EFI PART", 512)
      expect((await looks(file("gpt", gpt))).name).toBeUndefined()
    }
  })

  test("random bytes", async () => {
    for (let round = 0; round < 200; round++)
      expect((await looks(file("random", randomBytes(2048)))).name).toBeUndefined()
  })
})
