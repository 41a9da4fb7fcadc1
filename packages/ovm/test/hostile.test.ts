import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { DISK_TYPE, MANIFEST_TYPE } from "../src/artifact/machine/manifest.ts"
import type { Descriptor } from "../src/content/descriptor.ts"
import { digestOf } from "../src/content/digest.ts"
import { bytesOf } from "../src/content/read.ts"
import type { ErrorCode } from "../src/errors.ts"
import { HttpStore } from "../src/registry/http-store.ts"
import { Transport } from "../src/registry/transport/transport.ts"
import { Sandbox } from "./sandbox.ts"

setDefaultTimeout(240_000)

// OVMS-DSK-008, OVMS-ERR-004, OVMS-ERR-005, OVMS-ERR-008, OVMS-LIM-004, OVMS-OCI-041, OVMS-SEC-003, OVMS-SEC-014:
// what strangers pushed to a real registry, and what `ovm run` says to it: the code, the culprit, and nothing left
// behind. Every single rule has a vector (spec/vectors) and a test beside its code; here all of them are seen from
// outside.

const skip =
  guestMissing ||
  registryMissing ||
  qemuImg.note ||
  (Bun.which("qemu-system-x86_64") ? "" : "qemu-system-x86_64 is not installed")
if (skip) console.log(`SKIP packages/ovm/test/hostile.test.ts: ${skip}`)

const KERNEL_TYPE = "application/vnd.ovms.kernel.v1"
const INDEX = "application/vnd.oci.image.index.v1+json"
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"
const TITLE = "org.opencontainers.image.title"

// biome-ignore lint/suspicious/noExplicitAny: each case breaks another part of it
type Json = any

describe.skipIf(Boolean(skip))("what strangers pushed", () => {
  let registry: RegistryServer
  let store: HttpStore
  let box: Sandbox
  let kernel: Uint8Array
  let disk: Buffer
  let diff: Buffer
  let count = 0

  beforeAll(async () => {
    registry = await startRegistry()
    store = new HttpStore(new Transport(registry.host), "hostile")
    box = await Sandbox.create()
    kernel = await readFile(await buildGuest())
    qemuImg.run("create", "-q", "-f", "qcow2", box.path("base.qcow2"), "2M")
    qemuImg.io(box.path("base.qcow2"), "write -q -P 7 0 64k")
    qemuImg.run("create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", box.path("diff.qcow2"))
    disk = await readFile(box.path("base.qcow2"))
    diff = await readFile(box.path("diff.qcow2"))
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  async function blob(mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
    await store.push(descriptor, bytesOf(bytes))
    return descriptor
  }

  interface Parts {
    readonly kernel?: Uint8Array
    readonly disks?: () => readonly Uint8Array[]
    /** Changes the OVMS manifest. */
    readonly manifest?: (manifest: Json) => unknown
    /** Changes its text. */
    readonly text?: (json: string) => string | Uint8Array
    /** Changes the OCI manifest. */
    readonly oci?: (manifest: Json) => unknown
    /** Takes its place. */
    readonly document?: Json
  }

  /** Pushes a machine in which something is wrong; returns its name. */
  async function push(parts: Parts): Promise<string> {
    const image = parts.kernel ?? kernel
    const disks = parts.disks?.() ?? []
    const manifest: Json = {
      schemaVersion: 1,
      mediaType: MANIFEST_TYPE,
      name: "a/b",
      kernel: { ref: digestOf(image), args: "ticks=1 tick_ms=10 off=1" },
      ...(disks.length > 0 && {
        diskLayers: disks.map((bytes) => ({ ref: digestOf(bytes), format: "qcow2", size: bytes.byteLength })),
      }),
    }
    parts.manifest?.(manifest)
    const json = JSON.stringify(manifest)
    const bytes = Buffer.from(parts.text?.(json) ?? json)
    const layers: Json[] = [{ ...(await blob(KERNEL_TYPE, image)), annotations: { [TITLE]: "kernel.bin" } }]
    for (const bytes of disks)
      layers.push({ ...(await blob(DISK_TYPE, bytes)), annotations: { "ovms.format": "qcow2" } })
    const config = await blob(MANIFEST_TYPE, bytes)
    const oci: Json = { schemaVersion: 2, mediaType: MANIFEST, artifactType: MANIFEST_TYPE, config, layers }
    parts.oci?.(oci)
    const document = parts.document ?? oci
    const target = await blob(document.mediaType, Buffer.from(JSON.stringify(document)))
    const tag = `t${count++}`
    await store.tag(target, tag)
    return `${registry.host}/hostile:${tag}`
  }

  const leftovers = async () => {
    const below = (name: string) => readdir(join(box.home, name)).catch(() => [])
    return [
      ...(await below("instances")),
      ...(await below("store/ovm/ingest")),
      ...(await below("store/ovm/leases")),
    ]
  }

  type Case = readonly [what: string, code: ErrorCode, culprit: string, parts: Parts]

  const set = (manifest: (manifest: Json) => unknown): Parts => ({ manifest })
  const text = (change: (json: string) => string | Uint8Array): Parts => ({ text: change })
  const first = (member: string) => text((json) => json.replace("{", `{${member},`))
  const oci = (change: (manifest: Json) => unknown): Parts => ({ oci: change })

  const REFUSED_UNSEEN: readonly Case[] = [
    ["no name", "OVM_MANIFEST_INVALID", "/name", set((m) => delete m.name)],
    ["a name that is a path", "OVM_MANIFEST_INVALID", "/name", set((m) => (m.name = "../../etc"))],
    [
      "a ref that is a path",
      "OVM_MANIFEST_INVALID",
      "/kernel/ref",
      set((m) => (m.kernel.ref = "/etc/passwd")),
    ],
    [
      "a line feed for the kernel",
      "OVM_MANIFEST_INVALID",
      "/kernel/args",
      set((m) => (m.kernel.args = "a\nb")),
    ],
    ["NUL for the kernel", "OVM_MANIFEST_INVALID", "/kernel/args", set((m) => (m.kernel.args = "a\0b"))],
    [
      "an option in a device's name",
      "OVM_MANIFEST_INVALID",
      "/devices/0/name",
      set((m) => (m.devices = [{ type: "ivshmem", name: "a,mem-path=/etc/passwd", size: 4096 }])),
    ],
    [
      "memory as text",
      "OVM_MANIFEST_INVALID",
      "/resources/memory",
      set((m) => (m.resources = { memory: "1G" })),
    ],
    ["an unknown member", "OVM_MANIFEST_INVALID", "/surprise", set((m) => (m.surprise = 1))],
    ["a reserved member", "OVM_UNSUPPORTED", "config", set((m) => (m.config = {}))],
    ["a member twice", "OVM_MANIFEST_INVALID", "name", first('"name":"b"')],
    ["__proto__", "OVM_MANIFEST_INVALID", "__proto__", first('"__proto__":{"kernel":1}')],
    ["100,000 levels", "OVM_MANIFEST_INVALID", "nest", text(() => "[".repeat(100_000) + "]".repeat(100_000))],
    ["no UTF-8", "OVM_MANIFEST_INVALID", "UTF-8", text(() => Buffer.from('{"name":"\xff"}', "latin1"))],
    ["more than 4 MiB", "OVM_TOO_LARGE", "4194304", text(() => `"${"a".repeat(4 << 20)}"`)],
    [
      "a ref to nothing",
      "OVM_ARTIFACT_INVALID",
      "/initrd/ref",
      set((m) => (m.initrd = { ref: digestOf("x") })),
    ],
    [
      "a title that leads elsewhere",
      "OVM_ARTIFACT_INVALID",
      "title",
      oci((m) => (m.layers[0].annotations[TITLE] = "../../etc/x")),
    ],
    ["a longer blob", "OVM_SIZE_MISMATCH", "where its descriptor says", oci((m) => m.layers[0].size--)],
    ["a shorter blob", "OVM_SIZE_MISMATCH", "17592186044416", oci((m) => (m.layers[0].size = 2 ** 44))],
    [
      "a container image",
      "OVM_ARTIFACT_INVALID",
      "a container image, which has no machine in it",
      oci((m) => {
        delete m.artifactType
        m.config.mediaType = "application/vnd.oci.image.config.v1+json"
      }),
    ],
    [
      "an index of nothing",
      "OVM_PLATFORM_MISSING",
      "linux/amd64",
      { document: { schemaVersion: 2, mediaType: INDEX, manifests: [] } },
    ],
  ]

  test.each(REFUSED_UNSEEN)("%s is refused, and nothing stays", async (_, code, culprit, parts) => {
    const name = await push(parts)
    const { stdout } = await box.fails(["run", "-d", name], code, [culprit])
    expect(stdout).toBe("")
    await box.fails(["pull", name], code, [culprit])
    expect(await box.blobs()).toEqual([])
    expect(await leftovers()).toEqual([])
  })

  /** A disk with one number of its header changed. */
  const header = (write: (header: Buffer) => void): Parts => ({
    disks: () => {
      const bytes = Buffer.from(disk)
      write(bytes)
      return [bytes]
    },
  })
  const D = "OVM_DISK_INVALID"

  const REFUSED_HERE: readonly Case[] = [
    ["a kernel that is none", "OVM_KERNEL_INVALID", "kernel", { kernel: Buffer.from("#!/bin/sh\n") }],
    [
      "UEFI",
      "OVM_UEFI_UNSUPPORTED",
      "UEFI",
      set((m) => (m.metadata = { platform: { arch: "x86_64", uefi: true } })),
    ],
    [
      "a device that nobody has",
      "OVM_UNSUPPORTED",
      "warp-drive",
      set((m) => (m.devices = [{ type: "warp-drive", name: "w" }])),
    ],
    ["an external data file", D, "external data file", header((h) => h.writeBigUInt64BE(4n, 72))],
    ["an unknown feature", D, "incompatible", header((h) => h.writeBigUInt64BE(1n << 40n, 72))],
    ["a backing file in the base", D, '"base.qcow2"', { disks: () => [diff] }],
    ["a disk above the limit", D, "above the limit", header((h) => h.writeBigUInt64BE(1n << 62n, 24))],
    ["absurd clusters", D, "cluster bits 63", header((h) => h.writeUInt32BE(63, 20))],
    ["a table that would fill the memory", D, "L1 table", header((h) => h.writeUInt32BE(0xffffffff, 36))],
    ["a table outside the file", D, "refcount table", header((h) => h.writeBigUInt64BE(1n << 55n, 48))],
    ["encryption", D, "encrypted", header((h) => h.writeUInt32BE(2, 32))],
    ["internal snapshots", D, "snapshots", header((h) => h.writeUInt32BE(1, 60))],
    ["a disk that is cut", D, "truncated", { disks: () => [disk.subarray(0, 70_000)] }],
    ["a disk of another kind", D, "magic", { disks: () => [Buffer.alloc(4096, "KDMV")] }],
    [
      "a chain that shrinks",
      D,
      "shrinks",
      {
        disks: () => {
          const small = Buffer.from(diff)
          small.writeBigUInt64BE(1n << 20n, 24)
          return [disk, small]
        },
      },
    ],
  ]

  test.each(REFUSED_HERE)("%s is refused before anything starts", async (_, code, culprit, parts) => {
    const name = await push(parts)
    await box.fails(["run", "-d", name], code, [culprit, ...(code === D ? ["disk", name] : [])])
    expect(await leftovers()).toEqual([])
    // What was pulled is an image all the same, to be looked at and removed.
    await box.ok(["rmi", name])
    expect(await box.blobs()).toEqual([])
  })

  // OVMS-SEC-020
  test("text that looks like options of QEMU is text", async () => {
    const args = 'ticks=1 tick_ms=10 off=1 ,mem-path=/etc/passwd "-S" $(reboot) %s'
    const name = await push(set((m) => (m.kernel.args = args)))
    expect(await box.ok(["run", "--rm", name])).toContain(`CMDLINE [${args}]`)
    await box.ok(["rmi", name])
  })
})
