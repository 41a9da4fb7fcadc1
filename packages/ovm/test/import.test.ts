import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import { existsSync, readdirSync, statSync } from "node:fs"
import { chmod, mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { DISK_BOOTS, writeBootDisk } from "@ovms/testkit/bios.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { pidsIn } from "@ovms/testkit/processes.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// A disk from everywhere, run, and back.

setDefaultTimeout(240_000)

const skip =
  guestMissing ||
  ["qemu-img", "xz", "bzip2", "zstd", "prlimit", "qemu-system-x86_64"]
    .filter((program) => !Bun.which(program))
    .map((program) => `${program} is not installed`)
    .join(", ")
if (skip) console.log(`SKIP packages/ovm/test/import.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("import and export", () => {
  let box: Sandbox
  let raw = ""
  const imported = (file: string) => box.json(["import", file, "-t", "disk:1"])
  const convert = (format: string, to: string, ...options: string[]) => {
    const args = ["convert", "-O", format, ...options.flatMap((one) => ["-o", one]), raw, box.path(to)]
    expect(spawnSync("qemu-img", args).status).toBe(0)
  }
  const left = () => readdirSync(join(box.home, "importing"))

  beforeAll(async () => {
    box = await Sandbox.create()
    raw = box.path("disk.raw")
    await writeBootDisk(raw)
  })
  afterAll(async () => await box[Symbol.asyncDispose]())

  test("one disk is the same image whatever it came in, and boots [OVMS-IMP-001, OVMS-IMP-002, OVMS-IMP-006]", async () => {
    const { digest, ...others } = await imported("disk.raw")
    expect(others).toMatchObject({ format: "raw", firmware: "bios" })
    // Called something else each time.
    convert("qcow2", "disk.iso")
    convert("vmdk", "disk.img")
    convert("vmdk", "stream", "subformat=streamOptimized")
    convert("vhdx", "disk.raw.vhd")
    convert("vdi", "disk.qcow2")
    const formats = {
      "disk.iso": "qcow2",
      "disk.img": "vmdk",
      stream: "vmdk",
      "disk.raw.vhd": "vhdx",
      "disk.qcow2": "vdi",
    }
    for (const [file, format] of Object.entries(formats))
      expect([file, await imported(file)]).toMatchObject([file, { digest, format, firmware: "bios" }])
    for (const [program, file] of [
      ["gzip", "stream"],
      ["xz", "disk.raw"],
      ["bzip2", "disk.iso"],
      ["zstd", "disk.raw"],
    ] as const) {
      const packed = spawnSync(program, ["-c", "-q", box.path(file)], { maxBuffer: 1 << 26 }).stdout
      await writeFile(box.path("packed"), packed)
      expect([program, (await imported("packed")).digest]).toEqual([program, digest])
    }
    // More than a file may have that is taken in, and nothing on it.
    expect(spawnSync("qemu-img", ["create", "-q", "-f", "qcow2", box.path("large"), "300G"]).status).toBe(0)
    await box.ok(["import", "large", "-t", "large:1"])
    await box.ok(["export", "large:1", "--format", "raw", "-o", "large.raw"])
    expect(statSync(box.path("large.raw"))).toMatchObject({ size: 300 * 2 ** 30 })
    await rm(box.path("large.raw"))
    // A pipe stays one; a device would, too.
    const named = await box.shell(
      "mkfifo pipe; ovm export disk:1 --format raw -o pipe & timeout 60 cmp pipe disk.raw && wait && test -p pipe",
    )
    expect(named).toMatchObject({ status: 0, stdout: "" })
    const piped = await box.shell("cat stream | ovm import - -t disk:1 --json")
    expect(JSON.parse(piped.stdout).digest).toBe(digest)
    expect(left()).toEqual([])
    await box.ok(["run", "-d", "--name", "disk", "disk:1"])
    await until("it boots", () => box.ok(["logs", "disk"]), { is: (text) => text.includes(DISK_BOOTS) })
  })

  test("what is written out is the same disk again [OVMS-IMP-020, OVMS-IMP-022, OVMS-IMP-023]", async () => {
    const { digest } = await imported("disk.raw")
    for (const format of ["qcow2", "raw", "vmdk", "vhdx", "vdi"]) {
      await box.ok(["export", "disk:1", "--format", format, "-o", "out"])
      expect([format, (await imported("out")).digest]).toEqual([format, digest])
    }
    await box.ok(["export", "disk:1", "--format", "vhd", "-o", "out"])
    expect(spawnSync("qemu-img", ["compare", "-f", "vpc", "-F", "raw", box.path("out"), raw]).status).toBe(0)
    const piped = await box.shell("ovm export disk:1 --format raw -o - | cmp - disk.raw")
    expect(piped).toMatchObject({ status: 0, stdout: "" })
    expect(left()).toEqual([])
  })

  test.skipIf(mountMissing !== "")(
    "a full disk is named by where the file was to be, and nothing is left of it",
    async () => {
      await writeFile(box.path("noise.raw"), randomBytes(3 << 20))
      await box.ok(["import", "noise.raw", "--firmware", "bios", "-t", "noise:1"])
      await withTmpfs(box.path("full"), 1 << 20, async () => {
        for (const format of ["vmdk", "qcow2", "vhdx"])
          await box.fails(["export", "noise:1", "--format", format, "-o", "full/out"], "OVM_NO_SPACE", [
            `${box.path("full/out")}: no space left on device`,
          ])
        expect(readdirSync(box.path("full"))).toEqual([])
      })
      await box.fails(["export", "noise:1", "--format", "raw", "-o", "/dev/full"], "OVM_NO_SPACE", [
        "/dev/full: no space left on device",
      ])
    },
  )

  test("what an export that was ended has written is removed, by the next one at the latest", async () => {
    await imported("disk.raw")
    const place = box.path("place")
    await mkdir(place)
    await mkdir(box.path("held"))
    // It has begun, and goes no further.
    const script = '#!/bin/sh\nfor last; do :; done\necho begun >"$last"\nexec sleep 60\n'
    await chmod(await box.file("held/qemu-img", script), 0o755)
    const env = { PATH: `${box.path("held")}:${process.env.PATH}` }
    for (const signal of ["SIGTERM", "SIGINT", "SIGKILL"] as const) {
      const exporting = box.begin(["export", "disk:1", "--format", "vmdk", "-o", "place/out"], { env })
      const ended = finished(exporting)
      await until("a file of it", () =>
        readdirSync(place).some((name) => statSync(join(place, name)).size > 0),
      )
      exporting.kill(signal)
      await ended
      expect([signal, readdirSync(place).length]).toEqual([signal, signal === "SIGKILL" ? 1 : 0])
    }
    await box.ok(["export", "disk:1", "--format", "vmdk", "-o", "place/out"])
    expect(readdirSync(place)).toEqual(["out"])
  })

  test("a disk that names other files is refused before they are opened [OVMS-IMP-003, OVMS-IMP-004]", async () => {
    const secret = await box.file("secret", Buffer.alloc(1 << 20, "secret"))
    const qemuImg = (...args: string[]) =>
      expect(spawnSync("qemu-img", args, { cwd: box.directory }).status).toBe(0)
    qemuImg("create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", "backed")
    qemuImg(
      "create",
      "-q",
      "-f",
      "qcow2",
      "-o",
      `data_file=${box.path("data")},data_file_raw=on`,
      "external",
      "1M",
    )
    qemuImg(
      "create",
      "-q",
      "-f",
      "qcow2",
      "--object",
      "secret,id=s,data=x",
      "-o",
      "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10",
      "locked",
      "1M",
    )
    const descriptor = (kind: string, more: string) =>
      `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="${kind}"\n${more}\nddb.adapterType = "ide"\n`
    await box.file("flat.vmdk", descriptor("monolithicFlat", `RW 2048 FLAT "${secret}" 0`))
    const sparse = await readFile(box.path("disk.img"))
    const changed = async (name: string, change: (bytes: Buffer) => void) => {
      const bytes = Buffer.from(sparse)
      change(bytes)
      await box.file(name, bytes)
    }
    const at = sparse.readUInt32LE(28) * 512
    const embed = (text: string) => (bytes: Buffer) =>
      void bytes.fill(0, at, at + 10240).write(text, at, "latin1")
    await changed("nothing.vmdk", (bytes) => bytes.fill(0, 12, 20))
    await changed(
      "two.vmdk",
      embed(descriptor("monolithicSparse", `RW 1 SPARSE "disk.img"\nRW 2048 FLAT "${secret}" 0`)),
    )
    await changed("custom.vmdk", embed(descriptor("custom", `RW 2048 FLAT "${secret}" 0`)))
    await changed(
      "child.vmdk",
      embed(descriptor("monolithicSparse", `RW 1 SPARSE "x"\nparentFileNameHint="${secret}"`)),
    )
    convert("vpc", "differs.vhd")
    const vhd = await readFile(box.path("differs.vhd"))
    vhd.writeUInt32BE(4, 60)
    await box.file("differs.vhd", vhd)
    const words = {
      backed: "backing file",
      external: "in another file",
      locked: "encrypted",
      "flat.vmdk": "descriptor",
      "nothing.vmdk": "names the files",
      "two.vmdk": "2 extents",
      "custom.vmdk": "not known",
      "child.vmdk": "differs",
      "differs.vhd": "differs",
    }
    for (const [file, word] of Object.entries(words))
      await box.fails(["import", file, "-t", "bad:1"], "OVM_DISK_INVALID", [file, word])
    await box.fails(["inspect", "bad:1"], "OVM_NAME_UNKNOWN", ["bad:1"])
  })

  test("what is no disk, is damaged or twice compressed is refused, and leaves nothing [OVMS-IMP-001, OVMS-IMP-002, OVMS-IMP-008]", async () => {
    const gzip = (bytes: Buffer) => spawnSync("gzip", ["-c"], { input: bytes, maxBuffer: 1 << 26 }).stdout
    const packed = gzip(await readFile(raw))
    await box.file("twice.gz", gzip(packed))
    await box.file("cut.gz", packed.subarray(0, packed.length >> 1))
    const xz = spawnSync("xz", ["-c"], { input: await readFile(raw) }).stdout
    await box.file("cut.xz", xz.subarray(0, xz.length - 40))
    await box.file("short", "no disk")
    await box.file("empty", "")
    const qcow2 = await readFile(box.path("disk.iso"))
    await box.file("cut.qcow2", qcow2.subarray(0, qcow2.length >> 1))
    await box.file(
      "archive.zip",
      Buffer.concat([Buffer.from("PK\x03\x04\x14\0\0\0\0\0"), Buffer.alloc(100, 1)]),
    )
    const zstd = spawnSync("zstd", ["-c"], { input: await readFile(raw), maxBuffer: 1 << 26 }).stdout
    await box.file("cut.zst", zstd.subarray(0, zstd.length - 1))
    await box.file("frame.zst", Buffer.concat([zstd, zstd.subarray(0, zstd.length >> 1)]))
    const cut = ["cut.gz", "cut.xz", "cut.zst", "frame.zst"]
    for (const file of ["twice.gz", ...cut, "short", "empty", "cut.qcow2", "archive.zip"])
      await box.fails(["import", file, "-t", "bad:1"], "OVM_DISK_INVALID", [file])
    await box.fails(["import", "nowhere", "-t", "bad:1"], "OVM_FILE_UNREADABLE", ["nowhere"])
    // The disk is whole; it is this process that may not write it.
    for (const file of ["disk.raw", "disk.img"]) {
      const { status, stderr } = await box.shell(`ulimit -f 16; ovm import ${file} -t bad:1`)
      expect([file, status, stderr]).toEqual([file, 9, expect.stringMatching(/file too large/i)])
    }
    expect(left()).toEqual([])
  })

  test("a disk whose tables lead out of its file is cut off [OVMS-IMP-004]", async () => {
    const made = { vdi: ["vdi"], vmdk: ["vmdk"], vpc: ["vpc", "subformat=fixed,force_size=on"] } as const
    const whole = async (format: keyof typeof made) => {
      const [driver, ...options] = made[format]
      convert(driver, `whole.${format}`, ...options)
      return await readFile(box.path(`whole.${format}`))
    }
    const refused = async (name: string, bytes: Uint8Array, word: string) => {
      await box.file(name, bytes)
      await box.fails(["import", name, "-t", "bad:1"], "OVM_DISK_INVALID", [name, word])
    }
    const vdi = await whole("vdi")
    await refused("cut.vdi", vdi.subarray(0, vdi.length - 1), "cut off")
    await refused("map.vdi", vdi.subarray(0, 513), "block map")
    const child = Buffer.from(vdi)
    child.writeUInt32LE(4, 0x4c)
    await refused("child.vdi", child, "differs")
    const vmdk = await whole("vmdk")
    await refused("cut.vmdk", vmdk.subarray(0, vmdk.length - 512), "cut off")
    const directory = Number(vmdk.readBigUInt64LE(56)) * 512
    const table = Buffer.from(vmdk)
    table.writeUInt32LE(0xffff0000, directory)
    await refused("table.vmdk", table, "grain table")
    const far = Buffer.from(vmdk)
    far.writeBigUInt64LE(2n ** 40n, 56)
    await refused("directory.vmdk", far, "grain directory")
    // Not raw disks, either.
    await refused("later.vmdk", Buffer.from(vmdk).fill(9, 4, 5), "version 9")
    const qcow2 = Buffer.alloc(1024)
    qcow2.write("QFI\xfb\0\0\0\x04", "latin1")
    await refused("later.qcow2", qcow2, "version 4")
    const vhd = await whole("vpc")
    await refused("cut.vhd", vhd.subarray(512), "cut off")
    for (const format of Object.keys(made)) await imported(`whole.${format}`)
    expect(left()).toEqual([])
  })

  test("what would be more than there may be is refused before it is unpacked; one that is killed leaves nothing [OVMS-IMP-002, OVMS-IMP-008]", async () => {
    const zeros = spawnSync("xz", ["-0c"], { input: Buffer.alloc(2 ** 26) }).stdout
    await writeFile(box.path("bomb.xz"), Buffer.concat(Array.from({ length: 4200 }, () => zeros)))
    await box.fails(["import", "bomb.xz", "-t", "bad:1"], "OVM_DISK_INVALID", ["bomb.xz", "274877906944"])
    await rm(box.path("bomb.xz"))
    await writeFile(box.path("long.xz"), Buffer.concat(Array.from({ length: 2 ** 10 }, () => zeros)))
    const importing = box.begin(["import", "long.xz", "-t", "bad:1"])
    const unpacking = () => pidsIn(box.directory, "xz")
    const [xz = 0] = await until("it is being unpacked", () => (left().length > 0 ? unpacking() : []), {
      is: (pids) => pids.length > 0,
    })
    // One that stands still does not end by itself.
    process.kill(xz, "SIGSTOP")
    process.kill(importing.pid as number, "SIGKILL")
    await until("what it ran has ended", unpacking, { is: (pids) => pids.length === 0 })
    expect(left()).not.toEqual([])
    await imported("disk.raw")
    expect(left()).toEqual([])
    await box.fails(["inspect", "bad:1"], "OVM_NAME_UNKNOWN", ["bad:1"])
  })

  test("what has no place in a file of a disk is refused by its name [OVMS-IMP-021]", async () => {
    await box.ok(["pack", "--kernel", await buildGuest(), "--layer", "disk.raw", "-t", "linux:1"])
    await box.fails(["export", "linux:1", "--format", "raw", "-o", "linux.raw"], "OVM_UNSUPPORTED", [
      "kernel",
    ])
    await box.fails(["export", "nowhere:1", "--format", "raw", "-o", "linux.raw"], "OVM_NAME_UNKNOWN", [
      "nowhere",
    ])
    await box.fails(["export", "disk:1", "--format", "raw", "-o", "no/such/folder"], "OVM_FILE_UNREADABLE", [
      "no/such",
    ])
    expect(existsSync(box.path("linux.raw"))).toBe(false)
  })

  test("what boots it is told by its partitions, or by who imports it [OVMS-IMP-007]", async () => {
    const gpt = Buffer.alloc(1 << 20)
    gpt.write("EFI PART", 512, "latin1")
    gpt.writeBigUInt64LE(2n, 512 + 72)
    gpt.writeUInt32LE(4, 512 + 80)
    gpt.writeUInt32LE(128, 512 + 84)
    gpt.write("28732ac11ff8d211ba4b00a0c93ec93b", 1024 + 128, "hex")
    await box.file("gpt", gpt)
    expect((await imported("gpt")).firmware).toBe("uefi")
    expect((await box.json(["import", "gpt", "-t", "gpt:1", "--firmware", "bios"])).firmware).toBe("bios")
    gpt.writeUInt8(0xfa, 0)
    gpt.writeUInt16LE(0xaa55, 510)
    await box.file("both", gpt)
    expect((await imported("both")).firmware).toBe("bios")
    const mbr = Buffer.alloc(1 << 20)
    mbr.writeUInt8(0xef, 446 + 4)
    mbr.writeUInt32LE(1, 446 + 8)
    mbr.writeUInt32LE(1, 446 + 12)
    mbr.writeUInt16LE(0xaa55, 510)
    await box.file("mbr", mbr)
    expect((await imported("mbr")).firmware).toBe("uefi")
  })
})
