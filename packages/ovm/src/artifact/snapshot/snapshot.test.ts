import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import type { Bytes, Call, Store } from "../../content/interfaces.ts"
import { openLayout } from "../../content/layout/store.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { MemoryStore } from "../../content/memory.ts"
import { bytesOf } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"
import { hostCpu, parseCpuinfo } from "../../host/cpu.ts"
import { compressRam } from "../../ram/compress.ts"
import { canonicalJson } from "../canonical.ts"
import { DISK_TYPE, KERNEL_TYPE, MANIFEST_TYPE, type OvmsManifest } from "../machine/manifest.ts"
import { readArtifact } from "../machine/read.ts"
import { RAM_TYPES, SNAPSHOT_TYPE, STATE_TYPE } from "../types.ts"
import { summaryOf } from "./annotations.ts"
import { compare, type HostFacts, incompatible } from "./compatibility.ts"
import type { SnapshotDescriptor } from "./descriptor.ts"
import { snapshotLines, snapshotModel } from "./inspect.ts"
import { listSnapshots } from "./list.ts"
import { isSnapshot, readInlineSnapshot, readSnapshot } from "./read.ts"
import { type SnapshotSource, writeSnapshot } from "./write.ts"

const MIB = 1 << 20
let folder = ""
let count = 0
const file = (content: Uint8Array | string) => {
  const path = join(folder, `${count++}`)
  writeFileSync(path, content)
  return path
}
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ovm-snapshot-"))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function refusal(work: Promise<unknown>): Promise<OvmError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(OvmError)
  return thrown as OvmError
}

async function push(store: Store, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
  await store.push(descriptor, bytesOf(bytes))
  return descriptor
}

/** A machine of a kernel, with what `change` adds to its manifest and layers. */
async function machine(store: Store, more: Partial<OvmsManifest> = {}, layers: readonly Descriptor[] = []) {
  const kernel = await push(store, KERNEL_TYPE, Buffer.from("kernel"))
  const manifest = { schemaVersion: 1, mediaType: MANIFEST_TYPE, name: "example/base", ...more }
  const config = await push(
    store,
    MANIFEST_TYPE,
    canonicalJson({ ...manifest, kernel: { ref: kernel.digest } }),
  )
  const oci = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [kernel, ...layers] }
  return push(store, OCI_MANIFEST, canonicalJson(oci))
}

async function source(base: Descriptor, more: Partial<SnapshotSource> = {}): Promise<SnapshotSource> {
  const memory = Buffer.alloc(MIB)
  memory.write("what the machine knew", 300_000)
  const ram = await compressRam(file(memory), { into: join(folder, `${count++}.zst`) })
  return {
    created: "2025-09-29T10:00:00Z",
    base,
    repository: "registry.example.com/ovms/base",
    vmm: {
      name: "qemu",
      version: "7.2.22",
      format: "qemu-split-1",
      machine: "pc-q35-7.2",
      accelerator: "tcg",
      cpuModel: "qemu64",
    },
    host: hostFacts(),
    resources: { vcpus: 1, memory: MIB },
    devices: ["isa-serial", "vmgenid"],
    ram,
    state: file("device state"),
    overlays: [file("overlay")],
    uniqueness: { vmgenid: true, multiResume: "allow" },
    ...more,
  }
}

function hostFacts() {
  const { cpuVendor, cpuModel, cpuFeatures } = hostCpu()
  return {
    ...(cpuVendor && { cpuVendor }),
    ...(cpuModel && { cpuModel }),
    ...(cpuFeatures && { cpuFeatures }),
  }
}

describe("a snapshot", () => {
  test("is written and read, the same each time, and found by its base (OVMS-SNP-006)", async () => {
    await using store = await openLayout(join(folder, "store"), { create: true })
    const base = await machine(store)
    const parts = await source(base)
    const written = await writeSnapshot(store, parts)
    expect((await writeSnapshot(new MemoryStore(), parts)).digest).toBe(written.digest)

    const found = await readSnapshot(store, written)
    expect(found.base).toEqual(base)
    expect(found.ram).toMatchObject({ mediaType: RAM_TYPES.zstd, ...parts.ram.blob })
    expect(found.state).toMatchObject({ mediaType: STATE_TYPE, digest: digestOf("device state") })
    expect(found.overlays.map(({ descriptor }) => descriptor.digest)).toEqual([digestOf("overlay")])
    expect(found.table?.digest).toBe(digestOf(parts.ram.table))
    expect(found.snapshot.ram.digest).toBe(parts.ram.digest)
    expect(
      found.oci.layers.map(({ annotations }) => annotations?.["org.opencontainers.image.title"]),
    ).toEqual(["ram.zst", "ram.table", "vmstate.bin", "overlay0.qcow2"])
    for (const layer of found.oci.layers) expect(await store.exists(layer)).toBe(true)
    const features = parts.host?.cpuFeatures
    expect(found.oci.annotations).toEqual({
      "org.opencontainers.image.created": "2025-09-29T10:00:00Z",
      "ovms.snapshot.accelerator": "tcg",
      "ovms.snapshot.architecture": "amd64",
      ...(features && { "ovms.snapshot.cpu-features": features }),
      "ovms.snapshot.format": "qemu-split-1",
      "ovms.snapshot.memory": "1048576",
      "ovms.snapshot.vmm": "qemu",
      "ovms.snapshot.vmm-version": "7.2.22",
    })

    const listed = await Array.fromAsync(store.referrers(base, { artifactType: SNAPSHOT_TYPE }))
    expect(listed.map(({ digest }) => digest)).toEqual([written.digest])
    expect(summaryOf(listed[0]?.annotations)).toMatchObject({
      vmm: "qemu",
      version: "7.2.22",
      memory: "1048576",
      created: "2025-09-29T10:00:00Z",
    })
    expect(await isSnapshot(store, { ...written, artifactType: undefined } as unknown as Descriptor)).toBe(
      true,
    )
    expect(await isSnapshot(store, base)).toBe(false)
    expect((await refusal(readSnapshot(store, base))).message).toContain("OVMS-SNP-001")
    expect((await refusal(readArtifact(store, written))).message).toContain(SNAPSHOT_TYPE)
  })

  test("comes into a store with its OCI manifest last (OVMS-SNP-005)", async () => {
    const order: string[] = []
    class Recording extends MemoryStore {
      override async push(expected: Descriptor, content: Bytes, call?: Call): Promise<void> {
        await super.push(expected, content, call)
        order.push(expected.digest)
      }
    }
    const store = new Recording()
    const parts = await source(await machine(store))
    const { oci, descriptor } = await readSnapshot(store, await writeSnapshot(store, parts))
    expect(order.at(-1)).toBe(descriptor.digest)
    for (const { digest } of [oci.config, ...oci.layers]) expect(order.slice(0, -1)).toContain(digest)
  })

  test("of a resumed machine lists the overlays of its parent first (OVMS-SNP-037)", async () => {
    const store = new MemoryStore()
    const base = await machine(store)
    const first = await writeSnapshot(store, await source(base))
    const parent = await readSnapshot(store, first)
    const more = {
      parent: first.digest,
      overlays: [...parent.overlays.map(({ descriptor }) => descriptor), file("second overlay")],
    }
    const second = await readSnapshot(store, await writeSnapshot(store, await source(base, more)))
    expect(second.snapshot.parent).toBe(first.digest)
    expect(second.base.digest).toBe(base.digest)
    expect(second.overlays.map(({ descriptor }) => descriptor.digest)).toEqual(
      ["overlay", "second overlay"].map(digestOf),
    )
  })

  test("of a machine with further disks has a chain for each, which ovm inspect shows (OVMS-SNP-175)", async () => {
    const store = new MemoryStore()
    const base = await machine(store)
    const same = file("nothing was written")
    const disks = [
      { name: "data", overlays: [file("data"), same] },
      { name: "logs", overlays: [same] },
    ]
    const found = await readSnapshot(store, await writeSnapshot(store, await source(base, { disks })))
    const digests = disks.map(({ name, overlays }) => ({
      name,
      overlays: overlays.map((path) => digestOf(readFileSync(path))),
    }))
    expect(
      found.disks.map(({ name, overlays }) => ({
        name,
        overlays: overlays.map(({ descriptor }) => descriptor.digest),
      })),
    ).toEqual(digests)
    const titles = found.oci.layers.map(({ annotations }) => annotations?.["org.opencontainers.image.title"])
    expect(titles.slice(3)).toEqual([
      "overlay0.qcow2",
      "disk-data-overlay0.qcow2",
      "disk-data-overlay1.qcow2",
      "disk-logs-overlay0.qcow2",
    ])
    const lines = snapshotLines(snapshotModel(found)).join("\n")
    for (const words of ["overlays of data", "overlays of logs"]) expect(lines).toContain(words)
  })

  test("is listed with its base, the newest first", async () => {
    await using store = await openLayout(join(folder, "listed"), { create: true })
    const base = await machine(store)
    for (const created of ["2025-09-29T12:00:00+02:00", "2025-09-29T11:00:00Z", "2025-09-28T23:00:00Z"])
      await writeSnapshot(store, await source(base, { created }))
    const listed = await listSnapshots(store, base)
    expect(listed.map(({ summary }) => summary.created)).toEqual([
      "2025-09-29T11:00:00Z",
      "2025-09-29T12:00:00+02:00",
      "2025-09-28T23:00:00Z",
    ])
    for (const { descriptor } of listed)
      expect((await readSnapshot(store, descriptor)).base.digest).toBe(base.digest)
  })

  test("that breaks the specification is not written: nothing is pushed", async () => {
    const store = new MemoryStore()
    const base = await machine(store)
    const parts = await source(base, { resources: { vcpus: 1, memory: 2 * MIB } })
    const error = await refusal(writeSnapshot(store, parts))
    expect(error.code).toBe("OVM_SNAPSHOT_INVALID")
    expect(error.message).toContain("OVMS-SNP-034")
    expect(await store.exists({ mediaType: RAM_TYPES.zstd, ...parts.ram.blob })).toBe(false)
    const { host: _, ...bare } = await source(base)
    const kvm = { ...bare, vmm: { ...bare.vmm, accelerator: "kvm" } }
    expect((await refusal(writeSnapshot(store, kvm))).message).toContain("OVMS-SNP-018")
  })

  test("whose RAM changed after it was compressed is refused by its digest", async () => {
    const store = new MemoryStore()
    const parts = await source(await machine(store))
    writeFileSync(parts.ram.path, Buffer.alloc(parts.ram.blob.size))
    expect((await refusal(writeSnapshot(store, parts))).code).toBe("OVM_DIGEST_MISMATCH")
  })
})

describe("RAM beside the machine (OVMS-SNP-080, OVMS-SNP-081)", () => {
  async function inline(change: (snapshot: SnapshotDescriptor) => unknown, without?: string) {
    const store = new MemoryStore()
    const parts = await source(await machine(store))
    const { snapshot, ram, state, table } = await readSnapshot(store, await writeSnapshot(store, parts))
    const config = await push(store, SNAPSHOT_TYPE, canonicalJson(change(snapshot)))
    const layers = [config, ram, state, ...(table ? [table] : []), overlayOf(parts)]
    const compression = "zstd" as const
    const found = await machine(
      store,
      { ramSnapshot: { ref: ram.digest, compression } },
      layers.filter(({ mediaType }) => mediaType !== without),
    )
    return { store, artifact: await readArtifact(store, found) }
  }
  const overlayOf = ({ overlays: [path] }: SnapshotSource): Descriptor => {
    const bytes = readFileSync(String(path))
    return { mediaType: DISK_TYPE, digest: digestOf(bytes), size: bytes.length }
  }
  const withoutBase = ({ base: _, ...rest }: SnapshotDescriptor) => rest

  test("is resumed where all of it is there", async () => {
    const { store, artifact } = await inline(withoutBase)
    expect(artifact.warnings).toEqual([])
    const snapshot = await readInlineSnapshot(store, artifact)
    expect(snapshot?.base.digest).toBe(artifact.descriptor.digest)
    expect(snapshot?.state.digest).toBe(digestOf("device state"))
  })

  test.each([STATE_TYPE, SNAPSHOT_TYPE])("is booted, with a warning, without %s", async (without) => {
    const { store, artifact } = await inline(withoutBase, without)
    expect(await readInlineSnapshot(store, artifact)).toBeUndefined()
    expect(artifact.warnings.join()).toContain("boots instead of resuming")
  })

  test("is refused if its descriptor names a base or other RAM", async () => {
    const same = await inline((snapshot) => snapshot)
    const error = await refusal(readInlineSnapshot(same.store, same.artifact))
    expect([error.code, error.message.includes("/base")]).toEqual(["OVM_SNAPSHOT_INVALID", true])
    const other = await inline((snapshot) => ({
      ...withoutBase(snapshot),
      ram: { ...snapshot.ram, ref: digestOf("other") },
    }))
    expect((await refusal(readInlineSnapshot(other.store, other.artifact))).message).toContain("OVMS-SNP-030")
  })
})

describe("compatibility (OVMS-SNP-070, OVMS-SNP-072)", () => {
  const snapshot = JSON.parse(
    readFileSync(join(import.meta.dir, "../../../../../spec/vectors/valid/snapshot-kvm.json"), "utf8"),
  ).input.json as SnapshotDescriptor
  const fitting: HostFacts = {
    architecture: "amd64",
    vmm: { ...snapshot.vmm, format: ["9.0.0", snapshot.vmm.format], machine: [snapshot.vmm.machine] },
    ...(snapshot.host && { host: snapshot.host }),
    resources: snapshot.resources,
    devices: snapshot.devices,
    ...(snapshot.base && { base: snapshot.base.digest }),
  }

  test("a host that has all of it fits", () => {
    expect(compare(snapshot, fitting)).toEqual([])
  })

  test.each<[string, HostFacts]>([
    ["/architecture", { ...fitting, architecture: "arm64" }],
    ["/base/digest", { ...fitting, base: digestOf("other") }],
    ["/vmm/name", { ...fitting, vmm: { ...fitting.vmm, name: "qemu" } }],
    ["/vmm/version", { ...fitting, vmm: { ...fitting.vmm, version: "1.16.2" } }],
    ["/vmm/format", { ...fitting, vmm: { ...fitting.vmm, format: ["9.0.0"] } }],
    ["/vmm/machine", { ...fitting, vmm: { ...fitting.vmm, machine: "pc-q35-7.2" } }],
    ["/vmm/accelerator", { ...fitting, vmm: { ...fitting.vmm, accelerator: "tcg" } }],
    ["/vmm/cpuModel", { ...fitting, vmm: { ...fitting.vmm, cpuModel: "qemu64" } }],
    ["/host/cpuVendor", { ...fitting, host: { ...fitting.host, cpuVendor: "AuthenticAMD" } }],
    ["/host/cpuModel", { ...fitting, host: { ...fitting.host, cpuModel: "EPYC" } }],
    ["/host/cpuFeatures", { ...fitting, host: { ...fitting.host, cpuFeatures: digestOf("fpu") } }],
    ["/host/kernel", { ...fitting, host: { ...fitting.host, kernel: "5.10.0" } }],
    ["/resources/vcpus", { ...fitting, resources: { ...fitting.resources, vcpus: 4 } }],
    ["/resources/memory", { ...fitting, resources: { ...fitting.resources, memory: MIB } }],
    ["/devices", { ...fitting, devices: [...snapshot.devices].reverse() }],
  ])("%s is compared", (field, facts) => {
    const [mismatch, ...others] = compare(snapshot, facts)
    expect(others).toEqual([])
    expect(mismatch?.field).toBe(field)
    expect(mismatch?.host).not.toEqual(mismatch?.snapshot)
  })

  test("what the host does not know counts as different, and all of it is listed (OVMS-SNP-073, OVMS-SNP-074)", () => {
    const mismatches = compare(snapshot, {})
    expect(mismatches).toHaveLength(15)
    const error = incompatible("the snapshot x", mismatches)
    expect(error.code).toBe("OVM_SNAPSHOT_INCOMPATIBLE")
    expect(error.detail).toEqual(mismatches)
    for (const { field } of mismatches) expect(error.message).toContain(field)
    expect(error.message).toContain("/vmm/version is 1.16.1, here unknown")
  })

  test("nothing but the wrong base is an error of its own", () => {
    const mismatches = compare(snapshot, { ...fitting, base: digestOf("other") })
    expect(incompatible("it", mismatches).code).toBe("OVM_BASE_MISMATCH")
  })

  test("under TCG the host's CPU does not matter (OVMS-SNP-071)", () => {
    const tcg = { ...snapshot, vmm: { ...snapshot.vmm, accelerator: "tcg" } }
    const { host: _, ...rest } = fitting
    expect(compare(tcg, { ...rest, vmm: { ...fitting.vmm, accelerator: "tcg" } })).toEqual([])
  })
})

describe("what the host says of its CPU (OVMS-SNP-019)", () => {
  const text =
    "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon : of a kind\nflags\t\t: vme fpu de fpu\n\nprocessor\t: 1\nflags\t: other\n"

  test("is that of the first processor, its features sorted, each once", () => {
    expect(parseCpuinfo(text)).toEqual({
      cpuVendor: "GenuineIntel",
      cpuModel: "Xeon : of a kind",
      cpuFeatures: digestOf("de\nfpu\nvme\n"),
    })
    expect(parseCpuinfo("")).toEqual({})
  })

  test("is there on this host", () => {
    expect(hostCpu().kernel).not.toBe("")
    expect(hostCpu()).toBe(hostCpu())
  })
})
