import { afterAll, beforeAll, expect, test } from "bun:test"
import { cp, mkdir, mkdtemp, rename, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { tarHeader } from "../../content/archive/tar.ts"
import { digestOf } from "../../content/digest.ts"
import type { FileIngester, Pusher } from "../../content/interfaces.ts"
import { MemoryStore } from "../../content/memory.ts"
import { readAll } from "../../content/read.ts"
import { type DiskInfo, inspectDisk } from "../../disk/inspect.ts"
import { OvmError } from "../../errors.ts"
import { inspectLines, inspectModel } from "./inspect.ts"
import type { DiskFormat } from "./manifest.ts"
import { type DiskChecks, pack } from "./pack.ts"
import { readArtifact } from "./read.ts"
import { type PackSource, readSource } from "./source.ts"

let root = ""
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-pack-"))
  await fill(join(root, "a"))
})
afterAll(() => rm(root, { recursive: true }))

async function fill(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  const kernel = Buffer.alloc(4096, 7)
  kernel.writeUInt16LE(0xaa55, 0x1fe)
  kernel.write("HdrS", 0x202)
  kernel.writeUInt32LE(0, 0x1f4)
  await writeFile(join(folder, "vmlinuz"), kernel)
  await writeFile(join(folder, "initrd.img"), "initrd")
  await writeFile(join(folder, "base"), Buffer.alloc(1024, 1))
  await writeFile(join(folder, "diff"), Buffer.concat([Buffer.from("QFI\xfb", "latin1"), Buffer.alloc(508)]))
}

/** Records what it is asked; whether files are sound disks is disk/'s own subject. */
function recorder() {
  const asked: { path: string; format: DiskFormat; role: string }[] = []
  const disks: DiskChecks<string> = {
    inspect: async (path, { format, role }) => {
      asked.push({ path, format, role })
      return path
    },
    checkChain: () => {},
  }
  return { asked, disks }
}

const SOURCE: PackSource = {
  schemaVersion: 1,
  name: "example/machine",
  version: "1.0",
  kernel: { path: "vmlinuz", args: "console=ttyS0" },
  initrd: { path: "initrd.img" },
  diskLayers: [{ path: "base" }, { path: "diff" }],
  devices: [{ type: "ivshmem", name: "shm", size: 65536, required: false }],
  resources: { vcpus: 2, memory: 256 << 20 },
  metadata: { author: "someone" },
  runtimeHints: { preferredRuntime: ["qemu"] },
  annotations: { "org.opencontainers.image.source": "https://git.example.com/x" },
}

const DIGEST = "sha256:5500a10ee0bd4cab24a4c5b6a8270178790d5017d3d8dc574166c59021e5d08b"

async function packed(source: PackSource, base: string, sourceDateEpoch?: string) {
  const store = new MemoryStore()
  const { asked, disks } = recorder()
  const descriptor = await pack(source, store, { base, disks, sourceDateEpoch })
  return { store, descriptor, asked }
}

test("what pack writes is the written form, and reads back as it was (OVMS-OCI-015, OVMS-OCI-050 to OVMS-OCI-054)", async () => {
  const { store, descriptor, asked } = await packed(SOURCE, join(root, "a"), "86400")
  const artifact = await readArtifact(store, descriptor)
  const { oci, manifest, manifestDescriptor } = artifact
  const type = "application/vnd.ovms.manifest.v1+json"
  expect([oci.artifactType, oci.config.mediaType, descriptor.artifactType]).toEqual([type, type, type])
  expect(manifestDescriptor).toEqual(oci.config)
  expect(
    oci.layers.map(({ mediaType, annotations }) => [
      mediaType,
      annotations?.["org.opencontainers.image.title"],
      annotations?.["ovms.format"],
    ]),
  ).toEqual([
    ["application/vnd.ovms.kernel.v1", "kernel.bin", undefined],
    ["application/vnd.ovms.initrd.v1", "initrd.img", undefined],
    ["application/vnd.oci.image.layer.v1.tar", "disk0.raw", "raw"],
    ["application/vnd.oci.image.layer.v1.tar", "disk1.qcow2", "qcow2"],
  ])
  expect(oci.annotations).toEqual({
    "org.opencontainers.image.created": "1970-01-02T00:00:00Z",
    "org.opencontainers.image.source": "https://git.example.com/x",
  })
  // OVMS-OCI-051, OVMS-SRC-013, OVMS-SRC-017
  expect(manifest).toMatchObject({
    os: "linux",
    architecture: "amd64",
    metadata: { author: "someone", created: "1970-01-02T00:00:00Z" },
  })
  const { schemaVersion, name, version, devices, resources, runtimeHints } = SOURCE
  expect(manifest).toMatchObject({ schemaVersion, name, version, devices, resources, runtimeHints } as object)
  expect(artifact.layers.map(({ format, descriptor: { size } }) => ({ format, size }))).toEqual([
    { format: "raw", size: 1024 },
    { format: "qcow2", size: 512 },
  ])
  expect(asked.map(({ format, role }) => ({ format, role }))).toEqual([
    { format: "raw", role: "base" },
    { format: "qcow2", role: "diff" },
  ])
  expect(artifact.warnings).toEqual([])
})

test("the same input has the same digest, whatever folder, times, names and order of members (OVMS-SRC-014, OVMS-SRC-015)", async () => {
  const other = join(root, "another folder")
  await cp(join(root, "a"), other, { recursive: true })
  await rename(join(other, "base"), join(other, "b.img"))
  await utimes(join(other, "vmlinuz"), 1, 1)
  const shuffled = Object.fromEntries(Object.entries(SOURCE).reverse()) as unknown as PackSource
  const renamed = { ...shuffled, diskLayers: [{ path: "b.img", format: "raw" }, { path: "diff" }] } as const
  const one = await packed(SOURCE, join(root, "a"))
  const two = await packed(renamed, other)
  expect(two.descriptor).toEqual(one.descriptor)
  // Pinned, so that no machine or version of this program comes to another digest unnoticed.
  expect<string>(one.descriptor.digest).toBe(DIGEST)
})

test("the time is the source's before SOURCE_DATE_EPOCH, and absent without both (OVMS-SRC-013)", async () => {
  const base = join(root, "a")
  const created = async (source: PackSource, epoch?: string) => {
    const { store, descriptor } = await packed(source, base, epoch)
    return (await readArtifact(store, descriptor)).manifest.metadata?.created
  }
  const dated = { ...SOURCE, metadata: { created: "2025-09-29T00:00:00Z" } }
  expect(await created(dated, "1")).toBe("2025-09-29T00:00:00Z")
  expect(await created(SOURCE, "1")).toBe("1970-01-01T00:00:01Z")
  expect(await created(SOURCE, "")).toBeUndefined()
  expect(await created(SOURCE)).toBeUndefined()
  for (const epoch of ["now", "-1", "1.5", "999999999999"])
    await expect(packed(SOURCE, base, epoch)).rejects.toMatchObject({
      code: "OVM_SOURCE_INVALID",
      message: expect.stringContaining("SOURCE_DATE_EPOCH"),
    })
})

/** What is refused, and that nothing was pushed before (OVMS-SRC-012). */
async function refusal(source: unknown, disks: DiskChecks<string> = recorder().disks): Promise<unknown> {
  const pushed: string[] = []
  const store: Pusher & FileIngester = {
    push: async ({ digest }) => {
      pushed.push(digest)
    },
    ingestFile: async (path, mediaType) => {
      pushed.push(path)
      return { mediaType, digest: digestOf(""), size: 0 }
    },
  }
  const error = await pack(source as PackSource, store, { base: join(root, "a"), disks }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(pushed).toEqual([])
  return error
}

test("files that cannot be packed are refused by name (OVMS-SRC-009, OVMS-SRC-010, OVMS-SRC-011)", async () => {
  await writeFile(join(root, "a", "empty"), "")
  const at = (name: string) => expect.stringContaining(join(root, "a", name))
  const only = { schemaVersion: 1, name: "x" }
  const kernel = SOURCE.kernel
  expect(await refusal({ ...only, kernel: { path: "missing" } })).toMatchObject({
    code: "OVM_FILE_UNREADABLE",
    message: at("missing"),
  })
  expect(await refusal({ ...only, kernel: { path: "initrd.img" } })).toMatchObject({
    code: "OVM_KERNEL_INVALID",
    message: at("initrd.img"),
  })
  expect(await refusal({ ...only, kernel, initrd: { path: "." } })).toMatchObject({
    code: "OVM_FILE_UNREADABLE",
    message: at(""),
  })
  expect(await refusal({ ...only, kernel, initrd: { path: "empty" } })).toMatchObject({
    code: "OVM_SOURCE_INVALID",
    message: at("empty"),
  })
  const broken: DiskChecks<string> = {
    ...recorder().disks,
    checkChain: () => {
      throw new OvmError("OVM_DISK_INVALID", "the chain shrinks")
    },
  }
  expect(await refusal(SOURCE, broken)).toMatchObject({
    code: "OVM_DISK_INVALID",
    message: "the chain shrinks",
  })
})

test("a source made of flags is judged like a file (OVMS-SRC-018)", async () => {
  expect(
    await refusal({ schemaVersion: 1, name: "A", kernel: { path: "vmlinuz", args: "a\nb" } }),
  ).toMatchObject({
    code: "OVM_SOURCE_INVALID",
    detail: [
      { pointer: "/name", requirement: "OVMS-MAN-012" },
      { pointer: "/kernel/args", requirement: "OVMS-MAN-022" },
    ],
  })
})

test("a file that changes while it is packed is noticed", async () => {
  const path = join(root, "changing")
  await writeFile(path, "before")
  const store = new MemoryStore()
  const { disks } = recorder()
  const source = { ...SOURCE, initrd: { path } }
  const changing: Pusher & FileIngester = {
    push: (expected, content) => store.push(expected, content),
    ingestFile: async (file, mediaType) => {
      if (file === path) await writeFile(path, "after!")
      return store.ingestFile(file, mediaType)
    },
  }
  await expect(pack(source, changing, { base: join(root, "a"), disks })).rejects.toMatchObject({
    code: "OVM_DIGEST_MISMATCH",
  })
})

test("a source file is read with the folder that its paths are relative to", async () => {
  const path = join(root, "a", "machine.json")
  await writeFile(path, JSON.stringify(SOURCE))
  const digest = digestOf(JSON.stringify(SOURCE))
  expect(await readSource(path)).toEqual({ source: SOURCE, base: join(root, "a"), digest })
  await writeFile(path, '{"name": "A", "x": 1')
  await expect(readSource(path)).rejects.toMatchObject({
    code: "OVM_SOURCE_INVALID",
    message: expect.stringContaining(path),
  })
  await writeFile(path, " ".repeat((4 << 20) + 1))
  await expect(readSource(path)).rejects.toMatchObject({
    code: "OVM_TOO_LARGE",
    message: expect.stringContaining(path),
  })
  await expect(readSource(join(root, "none"))).rejects.toMatchObject({
    code: "OVM_FILE_UNREADABLE",
    message: expect.stringContaining("none"),
  })
  await expect(readSource(root)).rejects.toMatchObject({ code: "OVM_FILE_UNREADABLE" })
})

// OVMS-SRC-016, OVMS-SRC-024, OVMS-OCI-053
test("further disks come after the first, each a chain with titles of its own", async () => {
  const disks = [
    { name: "data", layers: [{ path: "base" }, { path: "diff" }] },
    { name: "tools", readOnly: true, layers: [{ path: "base", format: "raw" as const }] },
    { name: "room", size: 1 << 20 },
  ]
  const { store, descriptor } = await packed({ ...SOURCE, disks }, join(root, "a"))
  const { oci, manifest, ...artifact } = await readArtifact(store, descriptor)
  const titles = oci.layers.map(({ annotations }) => annotations?.["org.opencontainers.image.title"])
  const first = ["kernel.bin", "initrd.img", "disk0.raw", "disk1.qcow2"]
  expect(titles).toEqual([...first, "disk-data-0.raw", "disk-data-1.qcow2", "disk-tools-0.raw"])
  expect(manifest.disks).toMatchObject([
    { name: "data", layers: [{ format: "raw", size: 1024 }, { format: "qcow2" }] },
    { name: "tools", readOnly: true, layers: [{ format: "raw" }] },
    { name: "room", size: 1 << 20 },
  ])
  expect(artifact.disks[0]?.layers).toEqual(artifact.layers)
  const lines = inspectLines(inspectModel({ oci, manifest, ...artifact })).join("\n")
  for (const words of ["disk data  2 layers", "disk tools  1 layer, read-only", "disk room  empty, 1 MiB"])
    expect(lines).toContain(words)
})

test("inspect shows parts, sizes and wishes", async () => {
  const { store, descriptor } = await packed(SOURCE, join(root, "a"))
  const artifact = await readArtifact(store, descriptor)
  const model = inspectModel(artifact, {
    reference: "example/machine:1.0",
    virtualSize: ({ format }) => (format === "raw" ? 1024 : 2048),
  })
  expect(model).toMatchObject({
    reference: "example/machine:1.0",
    digest: descriptor.digest,
    name: "example/machine",
    version: "1.0",
    kernel: { size: 4096, args: "console=ttyS0" },
    initrd: { size: 6 },
    layers: [
      { format: "raw", size: 1024, virtual_size: 1024 },
      { format: "qcow2", size: 512, virtual_size: 2048 },
    ],
    resources: { vcpus: 2, memory: 268435456 },
    hints: { preferred_runtime: ["qemu"] },
    warnings: [],
  })
  const config = await readAll(await store.fetch(artifact.oci.config), 1 << 20, "config")
  expect(model.size).toBe(4096 + 6 + 1024 + 512 + config.length + descriptor.size)
  expect(digestOf(config)).toBe(artifact.oci.config.digest)
  const text = inspectLines(model).join("\n")
  for (const word of [
    "example/machine:1.0",
    descriptor.digest,
    "console=ttyS0",
    "qcow2",
    "256 MiB",
    "shm",
    "optional",
    "qemu",
  ])
    expect(text).toContain(word)
})

test("a disk whose format nobody declares is what its bytes say, and nothing else (OVMS-SRC-020, OVMS-SRC-021)", async () => {
  await writeFile(join(root, "a", "x.tar"), Buffer.concat([tarHeader("x", 0), Buffer.alloc(1024)]))
  const disks: DiskChecks<DiskInfo> = { inspect: inspectDisk, checkChain: () => {} }
  const source = (layer: object): PackSource => ({ ...SOURCE, diskLayers: [{ path: "x.tar", ...layer }] })
  const packing = (layer: object) => pack(source(layer), new MemoryStore(), { base: join(root, "a"), disks })
  await expect(packing({})).rejects.toMatchObject({
    code: "OVM_DISK_INVALID",
    message: expect.stringContaining("looks like a tar archive"),
    hint: expect.stringContaining("tar xf"),
  })
  await expect(packing({ format: "qcow2" })).rejects.toMatchObject({
    code: "OVM_DISK_INVALID",
    message: expect.stringContaining("does not start with qcow2's magic number: it looks like a tar archive"),
  })
  expect(await packing({ format: "raw" })).toMatchObject({ size: expect.any(Number) })
})
