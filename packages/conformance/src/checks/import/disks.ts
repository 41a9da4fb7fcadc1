import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import type { Check } from "../../check.ts"
import { must } from "../../check.ts"
import { snapshotsIn } from "../../disk/qcow2.ts"
import { diskOf, isoOf, qcow2Of, vdiOf, vhdOf, vmdkOf, vmdkText, withSnapshot } from "../../foreign/disks.ts"
import { archiveOf } from "../../foreign/tar.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { BZIP2_OF_ZEROS, XZ_OF_ZEROS, ZSTD_OF_ZEROS } from "./packed.ts"
import { type Bench, bench, file, imported, refuses, wholeOf } from "./stage.ts"

const DISK = diskOf("a disk of the suite's own")

/** What differs between them is the form alone: the first is what all others are held against. */
async function alike(bench: Bench, forms: Readonly<Record<string, Buffer>>, disk = DISK): Promise<void> {
  let digest = ""
  for (const [name, bytes] of Object.entries(forms)) {
    const machine = await imported(bench, await file(bench, name, bytes))
    must(wholeOf(machine).equals(disk), `the disk of ${name} is another one in the machine`)
    const [{ ref }] = machine.manifest.diskLayers
    digest ||= ref
    must(ref === digest, `the disk of ${name} became other bytes than the same one in another form`)
  }
}

/** Somebody who opens what a disk names, waits for ever; whoever looks first does not. */
async function trap(bench: Bench): Promise<string> {
  const path = join(bench.folder, "named")
  const made = spawnSync("mkfifo", [path])
  if (made.status !== 0) throw new Error(`mkfifo: ${made.stderr}`)
  return path
}

/** Refuses what names the file at a path, and never opens that. */
function unopened(name: string, make: (path: string) => Buffer): Check<Wrapper> {
  return bench(`import/refuses-${name}`, ["OVMS-IMP-003"], async (bench) => {
    const named = await trap(bench)
    await refuses(bench, [await file(bench, name, make(named)), "OVM_DISK_INVALID"])
  })
}

function refused(name: string, id: string, make: () => Buffer, code = "OVM_DISK_INVALID"): Check<Wrapper> {
  return bench(`import/refuses-${name}`, [id, "OVMS-IMP-008"], async (bench) => {
    await refuses(bench, [await file(bench, name, make()), code])
  })
}

function changed(bytes: Buffer, change: (bytes: Buffer) => void): Buffer {
  change(bytes)
  return bytes
}

/** A qcow2 whose header names the file at a path, as a string of its header or by an extension. */
function naming(path: string, external: boolean): Buffer {
  return changed(qcow2Of(DISK), (bytes) => {
    if (external) bytes.writeBigUInt64BE(4n, 72)
    if (external) bytes.writeUInt32BE(0x44415441, 104)
    if (external) bytes.writeUInt32BE(path.length, 108)
    else bytes.writeBigUInt64BE(1024n, 8)
    if (!external) bytes.writeUInt32BE(path.length, 16)
    bytes.write(path, external ? 112 : 1024)
  })
}

export const diskImports: readonly Check<Wrapper>[] = [
  bench("import/formats-by-their-bytes", ["OVMS-IMP-001", "OVMS-IMP-006"], (bench) =>
    alike(bench, {
      "raw.qcow2": DISK,
      "qcow2.iso": qcow2Of(DISK),
      "vmdk.img": vmdkOf(DISK),
      "vdi.raw": vdiOf(DISK),
      vhd: vhdOf(DISK),
    }),
  ),
  bench("import/one-qcow2-without-snapshots", ["OVMS-IMP-006"], async (bench) => {
    const snapshotted = withSnapshot(qcow2Of(DISK))
    await alike(bench, { disk: DISK, snapshotted })
    const { read, manifest } = await imported(bench, await file(bench, "disk", snapshotted))
    const [layer, ...more] = (read.oci.layers ?? []).filter(
      ({ digest }) => digest === manifest.diskLayers[0].ref,
    )
    must(layer && more.length === 0, "the machine's disk is not one layer")
    must(snapshotsIn(await read.blob(layer)) === 0, "the disk layer has internal snapshots")
  }),
  bench("import/compressed", ["OVMS-IMP-002"], async (bench) => {
    const zeros = Buffer.alloc(1 << 20)
    await alike(bench, { plain: DISK, "disk.xz": gzipSync(qcow2Of(DISK)) })
    const forms = { zeros, xz: XZ_OF_ZEROS, bzip2: BZIP2_OF_ZEROS, zstd: ZSTD_OF_ZEROS }
    await alike(bench, forms, zeros)
  }),
  bench("import/refuses-what-is-no-disk", ["OVMS-IMP-001", "OVMS-IMP-008"], async (bench) => {
    for (const [name, bytes] of Object.entries({ empty: Buffer.alloc(0), odd: Buffer.alloc(1000, 1) }))
      await refuses(bench, [await file(bench, `${name}.qcow2`, bytes), "OVM_DISK_INVALID"])
  }),
  refused("compressed-twice", "OVMS-IMP-002", () => gzipSync(gzipSync(DISK))),
  refused("compressed-and-damaged", "OVMS-IMP-002", () =>
    changed(gzipSync(DISK), (bytes) => bytes.writeUInt32LE(1, bytes.length - 8)),
  ),
  refused("compressed-and-cut-off", "OVMS-IMP-002", () => {
    const packed = gzipSync(DISK)
    return packed.subarray(0, packed.length - 20)
  }),
  unopened("qcow2-with-a-backing-file", (path) => naming(path, false)),
  unopened("qcow2-with-an-external-data-file", (path) => naming(path, true)),
  unopened("vmdk-with-its-extent-elsewhere", (path) =>
    Buffer.from(vmdkText("monolithicFlat", `RW 2048 FLAT "${path}" 0`).padEnd(512)),
  ),
  unopened("vmdk-with-another-extent", (path) =>
    vmdkOf(DISK, vmdkText("monolithicSparse", `RW 1 SPARSE "x"\nRW 2048 FLAT "${path}" 0`)),
  ),
  unopened("vmdk-with-a-parent", (path) =>
    vmdkOf(
      DISK,
      vmdkText("monolithicSparse", 'RW 2048 SPARSE "x"', "12345678", `parentFileNameHint="${path}"`),
    ),
  ),
  refused("vhd-that-differs", "OVMS-IMP-003", () => vhdOf(DISK, 4)),
  refused("qcow2-encrypted", "OVMS-IMP-004", () =>
    changed(qcow2Of(DISK), (bytes) => bytes.writeUInt32BE(1, 32)),
  ),
  refused("qcow2-of-unknown-features", "OVMS-IMP-004", () =>
    changed(qcow2Of(DISK), (bytes) => bytes.writeBigUInt64BE(1n << 40n, 72)),
  ),
  refused("qcow2-cut-off", "OVMS-IMP-004", () => qcow2Of(DISK).subarray(0, 4 << 16)),
  refused("vhd-damaged", "OVMS-IMP-004", () =>
    changed(vhdOf(DISK), (bytes) => {
      bytes.writeUInt32BE(7, 512 + 28)
      bytes.writeUInt32BE(9, 50)
      bytes.writeUInt32BE(9, bytes.length - 462)
    }),
  ),
  bench("import/what-boots-it", ["OVMS-IMP-007"], async (bench) => {
    for (const [name, [uefi, change]] of Object.entries(BOOTS)) {
      const disk = changed(Buffer.alloc(1 << 20), change)
      const { manifest } = await imported(bench, await file(bench, name, disk))
      const said = manifest.metadata?.platform?.uefi === true
      must(said === uefi, `a disk with ${name} is to boot by ${uefi ? "UEFI" : "BIOS"}, and not by the other`)
    }
  }),
  bench("import/alone-in-a-tar", ["OVMS-IMP-060"], async (bench) => {
    const tar = archiveOf([{ name: "disk/" }, { name: "disk/it", content: qcow2Of(DISK) }])
    const inner = archiveOf([{ name: "disk.gz", content: gzipSync(DISK) }])
    await alike(bench, { disk: DISK, tar, "tar.gz": gzipSync(tar), "inner.tar": inner })
    const two = archiveOf([
      { name: "one", content: DISK },
      { name: "two", content: DISK },
    ])
    for (const [name, bytes] of Object.entries({ "two.tar": two, "twice.tar.gz": gzipSync(inner) }))
      await refuses(bench, [await file(bench, name, bytes), "OVM_DISK_INVALID"])
  }),
  bench("import/box-of-vagrant", ["OVMS-IMP-086"], async (bench) => {
    const boxed = (metadata: object, name = "box.img") =>
      archiveOf([
        { name: "metadata.json", content: Buffer.from(JSON.stringify(metadata)) },
        { name: "Vagrantfile", content: Buffer.from("#") },
        { name, content: qcow2Of(DISK) },
      ])
    const libvirt = { provider: "libvirt", format: "qcow2" }
    const named = boxed({ ...libvirt, disks: [{ path: "first.img" }] }, "first.img")
    await alike(bench, { disk: DISK, box: boxed(libvirt), "box.gz": gzipSync(boxed(libvirt)), named })
    for (const [name, metadata] of Object.entries({
      "provider.box": { provider: "vmware_desktop" },
      "lost.box": { ...libvirt, disks: [{ path: "other.img" }] },
      "list.box": [libvirt],
    }))
      await refuses(bench, [await file(bench, name, boxed(metadata)), "OVM_DISK_INVALID"])
  }),
  bench("import/cd-rom", ["OVMS-IMP-061"], async (bench) => {
    await alike(bench, { boots: isoOf(true) }, isoOf(true))
    await refuses(bench, [await file(bench, "data.iso", isoOf(false)), "OVM_UNSUPPORTED"])
  }),
]

/** What is on a disk, and whether UEFI boots it. */
const BOOTS: Readonly<Record<string, readonly [boolean, (disk: Buffer) => void]>> = {
  nothing: [false, () => {}],
  "a GPT with an EFI system partition": [true, gpt],
  "an MBR with an EFI system partition": [true, mbr],
  "both boot code and an EFI system partition": [
    false,
    (disk) => {
      gpt(disk)
      disk.writeUInt8(0xfa, 0)
      disk.writeUInt16LE(0xaa55, 510)
    },
  ],
  "an MBR without one": [
    false,
    (disk) => {
      mbr(disk)
      disk.writeUInt8(0x83, 446 + 4)
    },
  ],
}

function gpt(disk: Buffer): void {
  disk.write("EFI PART", 512, "latin1")
  disk.writeBigUInt64LE(2n, 512 + 72)
  disk.writeUInt32LE(4, 512 + 80)
  disk.writeUInt32LE(128, 512 + 84)
  disk.write("28732ac11ff8d211ba4b00a0c93ec93b", 1024 + 128, "hex")
}

function mbr(disk: Buffer): void {
  disk.writeUInt8(0xef, 446 + 4)
  disk.writeUInt32LE(1, 446 + 8)
  disk.writeUInt32LE(1, 446 + 12)
  disk.writeUInt16LE(0xaa55, 510)
}
