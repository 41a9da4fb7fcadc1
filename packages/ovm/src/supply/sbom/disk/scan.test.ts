import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { debugfs, ext4Missing, makeExt4 } from "@ovms/testkit/ext.ts"
import { scanDisk } from "./scan.ts"

setDefaultTimeout(240_000)

const STATUS = `Package: base-files
Status: install ok installed
Architecture: amd64
Version: 12.4+deb12u12
Description: Debian base system
 Package: not-this

Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.36-9)
Version: 2.36-9+deb12u13

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0
`
const RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
const SYSTEM = { id: "debian", name: "Debian GNU/Linux 12 (bookworm)", version: "12" }
const PACKAGES = [
  { manager: "deb", name: "base-files", version: "12.4+deb12u12", architecture: "amd64" },
  { manager: "deb", name: "libc6", version: "2.36-9+deb12u13", architecture: "amd64", source: "glibc" },
] as const
const DEBIAN = {
  "/var/lib/dpkg/status": STATUS,
  "/usr/lib/os-release": RELEASE,
  "/etc/os-release": { link: "../usr/lib/os-release" },
}

const skip = ext4Missing ?? (qemuImg.present ? undefined : "qemu-img")
if (skip) console.log(`SKIP supply/sbom/disk/scan.test.ts: ${skip} is not installed`)

let folder = ""
const at = (name: string) => join(folder, name)
const raw = (name: string) => [{ path: at(name), format: "raw" } as const]
const scan = (name: string) => scanDisk(raw(name), folder)
beforeAll(async () => {
  // debugfs takes what follows a question mark for options.
  folder = await mkdtemp(join(tmpdir(), "ovm-scan-?offset=9-"))
  if (!skip) await makeExt4(at("debian.raw"), DEBIAN)
})
afterAll(() => rm(folder, { recursive: true }))

/** A disk with an MBR: `partitions` are start and length in sectors; `image` lies at the first one's start. */
function withTable(name: string, image: string, partitions: readonly (readonly [number, number])[]): void {
  const content = readFileSync(at(image))
  const start = (partitions[0]?.[0] ?? 0) * 512
  const disk = Buffer.alloc(start + content.length + (1 << 20))
  for (const [index, [from, sectors]] of partitions.entries()) {
    disk[446 + index * 16 + 4] = 0x83
    disk.writeUInt32LE(from, 446 + index * 16 + 8)
    disk.writeUInt32LE(sectors, 446 + index * 16 + 12)
  }
  disk.writeUInt16LE(0xaa55, 510)
  content.copy(disk, start)
  writeFileSync(at(name), disk)
}

test.skipIf(Boolean(skip))(
  "finds what dpkg installed, and what is only left of the rest is not",
  async () => {
    expect(await scan("debian.raw")).toEqual({
      installed: [{ volume: "the whole disk", filesystem: "ext4", system: SYSTEM, packages: PACKAGES }],
      gaps: [],
    })
  },
)

test.skipIf(Boolean(skip))(
  "reads the disk that a chain of layers makes, and leaves nothing behind",
  async () => {
    await makeExt4(at("changed.raw"), {
      ...DEBIAN,
      "/var/lib/dpkg/status": STATUS.replace("Version: 2.36", "Version: 2.99"),
    })
    qemuImg.run("convert", "-f", "raw", "-O", "qcow2", "-c", at("debian.raw"), at("base.qcow2"))
    qemuImg.run("create", "-f", "qcow2", "-b", at("changed.raw"), "-F", "raw", at("diff.qcow2"))
    qemuImg.run("rebase", "-f", "qcow2", "-b", at("base.qcow2"), "-F", "qcow2", at("diff.qcow2"))
    // What the header says of its backing file is not looked at.
    qemuImg.run("rebase", "-u", "-f", "qcow2", "-b", "/nowhere", "-F", "qcow2", at("diff.qcow2"))
    const before = await readdir(folder)
    const chain = [at("base.qcow2"), at("diff.qcow2")].map((path) => ({ path, format: "qcow2" }) as const)
    const { installed, gaps } = await scanDisk(chain, folder)
    expect(gaps).toEqual([])
    expect(installed[0]?.packages.map(({ version }) => version)).toEqual(["12.4+deb12u12", "2.99-9+deb12u13"])
    expect(await readdir(folder)).toEqual(before)
  },
)

test.skipIf(Boolean(skip))("finds Alpine's packages on a partition", async () => {
  const installed =
    "C:Q1=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\nP:libcrypto3\nV:3.3.2-r1\nA:x86_64\no:openssl\n\n"
  await makeExt4(at("alpine.raw"), {
    "/lib/apk/db/installed": installed,
    "/etc/os-release": 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.20.3\n',
  })
  withTable("partitioned.raw", "alpine.raw", [[2048, 32768]])
  expect(await scan("partitioned.raw")).toEqual({
    installed: [
      {
        volume: "partition 1",
        filesystem: "ext4",
        system: { id: "alpine", version: "3.20.3" },
        packages: [
          {
            manager: "apk",
            name: "libcrypto3",
            version: "3.3.2-r1",
            architecture: "x86_64",
            source: "openssl",
          },
          { manager: "apk", name: "musl", version: "1.2.5-r0", architecture: "x86_64" },
        ],
      },
    ],
    gaps: [],
  })
})

/** Each becomes a gap that says what is wrong and where, and never a crash or an endless read. */
const HOSTILE: readonly (readonly [string, () => void | Promise<void>, RegExp])[] = [
  [
    "no file system",
    () => writeFileSync(at("x.raw"), Buffer.alloc(1 << 20)),
    /nothing that is known is on it/,
  ],
  [
    "a partition outside the disk",
    () => withTable("x.raw", "debian.raw", [[2048, 32768], [40_000_000, 2048]]), // biome-ignore format: a table
    /partition 2 lies outside the disk/,
  ],
  [
    "a truncated file system",
    () => {
      copyFileSync(at("debian.raw"), at("x.raw"))
      truncateSync(at("x.raw"), 512 << 10)
    },
    /debugfs cannot|no list of packages|is no regular file|does not|but says/,
  ],
  [
    "a link in the place of the list",
    () => makeExt4(at("x.raw"), { "/var/lib/dpkg/status": { link: "/etc/shadow" } }),
    /\/var\/lib\/dpkg\/status is no regular file but: symlink/,
  ],
  [
    "a folder in the place of the list",
    () => makeExt4(at("x.raw"), { "/var/lib/dpkg/status/x": "" }),
    /status is no regular file but: directory/,
  ],
  [
    "a size that is a lie",
    async () => {
      await makeExt4(at("x.raw"), DEBIAN)
      debugfs(at("x.raw"), "sif /var/lib/dpkg/status size 0x7fffffffffff")
    },
    /status says that it has 140737488355327 bytes, above the limit/,
  ],
  [
    "a list above the limit",
    async () => {
      await makeExt4(at("x.raw"), DEBIAN)
      debugfs(at("x.raw"), `sif /var/lib/dpkg/status size ${(128 << 20) + 1}`)
    },
    /above the limit of 134217728/,
  ],
  [
    "entries that are no packages",
    () =>
      makeExt4(at("x.raw"), {
        "/var/lib/dpkg/status": `Package: $(reboot)\nStatus: install ok installed\nVersion: 1\n\n${STATUS}`,
      }),
    /has 1 entries that are no packages/,
  ],
  [
    "a file system that was in use",
    async () => {
      await makeExt4(at("x.raw"), DEBIAN)
      debugfs(at("x.raw"), "feature needs_recovery")
    },
    /what only its journal has was not read/,
  ],
  [
    "another file system",
    () => {
      const disk = Buffer.alloc(1 << 20)
      disk.write("hsqs") // SquashFS 4.0, little endian
      disk.writeUInt16LE(4, 28)
      writeFileSync(at("x.raw"), disk)
    },
    /squashfs is on it, where only ext2, ext3 and ext4 are read/,
  ],
  ["RPM's database", () => makeExt4(at("x.raw"), { "/var/lib/rpm/Packages": "" }), /packages of RPM/],
]

for (const [name, make, reason] of HOSTILE)
  test.skipIf(Boolean(skip))(`${name} is a gap`, async () => {
    await make()
    const { gaps } = await scan("x.raw")
    expect(gaps.join("\n")).toMatch(reason)
    expect(gaps.join("\n")).not.toContain(folder)
  })

test.skipIf(Boolean(skip))("flipped bits in the metadata end in packages or gaps, nothing else", async () => {
  let seed = 7
  const random = (below: number) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  const source = readFileSync(at("debian.raw"))
  for (let round = 0; round < 25; round++) {
    const copy = Buffer.from(source)
    // The superblock, the group descriptors and the first inode tables.
    for (let flips = 0; flips < 40; flips++) {
      const place = 1024 + random(300_000)
      copy[place] = (copy[place] ?? 0) ^ (1 << random(8))
    }
    writeFileSync(at("x.raw"), copy)
    const { installed, gaps } = await scan("x.raw")
    expect(installed.length + gaps.length).toBeGreaterThan(0)
  }
})

test("an aborted scan says so", async () => {
  writeFileSync(at("x.raw"), Buffer.alloc(1 << 20))
  const scanned = scanDisk(raw("x.raw"), folder, { signal: AbortSignal.abort() })
  expect(await scanned.catch((thrown: unknown) => thrown)).toMatchObject({ code: "OVM_INTERRUPTED" })
})
