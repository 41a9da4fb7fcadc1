import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { DISK_FAULT, guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { canonicalJson } from "../artifact/canonical.ts"
import { DISK_TYPE } from "../artifact/machine/manifest.ts"
import { readArtifact } from "../artifact/machine/read.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import { readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { digestOf } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { type LayoutStore, openLayout } from "../content/layout/store.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { bytesOf } from "../content/read.ts"
import { createOverlay } from "../disk/overlay.ts"
import { collectImages } from "../images/collect.ts"
import { commitSnapshot } from "../images/commit-snapshot.ts"
import { availableVmms } from "../vmm/available.ts"
import type { Machine } from "../vmm/machine.ts"
import type { LaunchPlan } from "../vmm/plan.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Snapshots of a machine that writes to three disks: its guest notes each tick on all of them, and says DISK-LOST
// where what is on one of them is not what it remembers.

setDefaultTimeout(240_000)

const NAME = "localhost/tests/three"
const SIZE = 2 << 20

let root: string
let runtime: LocalRuntime

async function said(id: string): Promise<string> {
  return Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
}

function ticks(text: string): number {
  return Number([...text.matchAll(/TICK (\d+)\r\n/g)].at(-1)?.[1] ?? 0)
}

/** Waits for a few more ticks, none of which finds a disk of another instant. */
async function counts(id: string): Promise<string> {
  await until("it runs", () => runtime.status(id), {
    is: ({ state }) => state === "running" || hasEnded(state),
  })
  const before = ticks(await said(id))
  const text = await until("more ticks", () => said(id), { is: (text) => ticks(text) >= before + 6 })
  expect(text).not.toMatch(DISK_FAULT)
  return text
}

async function started(manifest: string, overrides: Overrides = {}): Promise<string> {
  return (await runtime.start({ manifest, overrides })).instance_id
}

async function stopped(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
}

async function snapshotted(id: string, tag: string): Promise<Snapshot> {
  await runtime.snapshot({ instance_id: id, tag })
  await using layout = await openLayout(join(root, "store"))
  return await readSnapshot(layout, await layout.resolve(`${NAME}:${tag}`))
}

const digests = ({ disks }: Snapshot) =>
  disks.map(({ name, overlays }) => [name, ...overlays.map(({ descriptor }) => descriptor.digest)])

async function push(layout: LayoutStore, bytes: Uint8Array, mediaType: string): Promise<Descriptor> {
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
  await layout.push(descriptor, bytesOf(bytes))
  return descriptor
}

type Disks = SnapshotDescriptor["disks"]

/** Why the second snapshot is refused with other `disks`, all digests right, and one more layer. */
async function refusedWith(change: (disks: Disks, more: Descriptor) => Disks): Promise<unknown[]> {
  await using layout = await openLayout(join(root, "store"))
  const { snapshot, oci } = await readSnapshot(layout, await layout.resolve(`${NAME}:second`))
  const wide = join(root, "wide.qcow2")
  await rm(wide, { force: true })
  await createOverlay(wide, SIZE * 2)
  const more = await push(layout, await readFile(wide), DISK_TYPE)
  const { disks, ...others } = snapshot
  const other = change(disks, more)
  const config = await push(
    layout,
    canonicalJson({ ...others, ...(other && { disks: other }) }),
    oci.config.mediaType,
  )
  const layers = [...oci.layers, more]
  const made = await push(layout, canonicalJson({ ...oci, config, layers }), OCI_MANIFEST)
  await layout.tag(made, `${NAME}:other`)
  const error = await refusal(started(`${NAME}:other`))
  expect(await runtime.list()).toEqual([])
  return [error.code, error.message]
}

describe.skipIf(guestMissing !== "")(`snapshots with further disks ${guestMissing}`, () => {
  let first: Snapshot
  let second: Snapshot

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-disks-snapshot-"))
    const path = join(root, "disk.raw")
    await writeFile(path, Buffer.alloc(SIZE, "data of the image "))
    const layers = [{ path, format: "raw" as const }]
    await packGuest(join(root, "store"), `${NAME}:1`, "tick_ms=10 hlt=1 log=8 also=2 write=3", {
      diskLayers: layers,
      disks: [
        { name: "room", size: SIZE },
        { name: "data", layers },
        { name: "tools", readOnly: true, layers },
      ],
      resources: { vcpus: 1, memory: 16 << 20 },
    })
    runtime = await openRuntime(root)
    const source = await started(`${NAME}:1`)
    await counts(source)
    first = await snapshotted(source, "first")
    await counts(source)
    const record = join(root, "instances", source, "instance.json")
    const before = await readFile(record)
    second = await snapshotted(source, "second")
    // As of a daemon that died before it could write that down.
    await runtime.close()
    await writeFile(record, before)
    runtime = await openRuntime(root)
    await until("it is adopted", () => runtime.status(source), { is: ({ state }) => state === "running" })
    await counts(source)
    const third = await snapshotted(source, "third")
    expect(third.disks.map(({ overlays }) => overlays.length)).toEqual([3, 3])
    expect(digests(third).map((chain) => chain.slice(0, 2))).toEqual(digests(first))
    // It boots from its chains as it booted from its first overlays.
    await stopped(source)
    await runtime.startAgain(source)
    expect(await counts(source)).toContain("WROTE 3")
    await runtime.remove(source, { force: true })
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-SNP-037, OVMS-SNP-177
  test("each writable disk has a chain, of which the parent's is the beginning", () => {
    const lengths = (snapshot: Snapshot) =>
      snapshot.disks.map(({ name, overlays }) => [name, overlays.length])
    expect(lengths(first)).toEqual([
      ["room", 1],
      ["data", 1],
    ])
    expect(lengths(second)).toEqual([
      ["room", 2],
      ["data", 2],
    ])
    expect(second.snapshot.parent).toBe(first.descriptor.digest)
    expect(digests(second).map((chain) => chain.slice(0, 2))).toEqual(digests(first))
  })

  // OVMS-SNP-178, OVMS-SNP-179
  test("disks that are not those of the machine are refused before anything starts", async () => {
    const invalid = ["OVM_SNAPSHOT_INVALID", expect.stringContaining("OVMS-SNP-178")]
    expect(await refusedWith(() => undefined)).toEqual(invalid)
    expect(await refusedWith((disks) => disks?.slice(1))).toEqual(invalid)
    for (const name of ["tools", "none"])
      expect(await refusedWith((disks) => disks?.map((disk, at) => (at ? disk : { ...disk, name })))).toEqual(
        invalid,
      )
    const larger = await refusedWith((disks, { digest: ref, size }) =>
      disks?.map(({ name, overlays }) => ({ name, overlays: [...overlays, { ref, format: "qcow2", size }] })),
    )
    expect(larger).toEqual(["OVM_DISK_INVALID", expect.stringContaining("OVMS-SNP-179")])
    const readOnly = await refusal(started(`${NAME}:second`, { readOnly: true }))
    expect(readOnly.code).toBe("OVM_SNAPSHOT_INCOMPATIBLE")
  })

  // OVMS-SNP-163
  test("a VMM that knows no instant of further disks has their machine refused, which goes on", async () => {
    await runtime.close()
    const [vmm] = availableVmms(join(root, "cache"), ["qemu"])
    // A real machine, without that power of its adapter's.
    const less: Vmm = Object.create(vmm ?? null, {
      launch: {
        value: async (plan: LaunchPlan, call?: Call) =>
          Object.defineProperty((await vmm?.launch(plan, call)) as Machine, "furtherOverlays", {
            value: undefined,
          }),
      },
    })
    runtime = await openRuntime(root, { vmms: [less] })
    const id = await started(`${NAME}:1`)
    await counts(id)
    for (const work of [runtime.snapshot({ instance_id: id, tag: "none" }), runtime.fork(id, {})])
      expect(await refusal(work)).toMatchObject({
        code: "OVM_UNSUPPORTED",
        message: expect.stringContaining("its disk room"),
        detail: [{ pointer: "disks" }],
      })
    await counts(id)
    await runtime.close()
    runtime = await openRuntime(root)
  })

  test("a slot and a machine that was put aside go on with all disks", async () => {
    const manifest = `${NAME}:second`
    await runtime.warm({ manifest, slots: 1 })
    await until("a slot is loaded", async () => (await runtime.info()).warm[0]?.ready === 1)
    const id = await started(manifest)
    expect((await runtime.status(id)).timings_ms.spawn).toBeUndefined()
    await runtime.warm({ manifest, slots: 0 })
    await counts(id)
    expect((await snapshotted(id, "of-slot")).disks.map(({ overlays }) => overlays.length)).toEqual([3, 3])
    const aside = await started(manifest, { standbyAfter: 1000 })
    await until("it is put aside", () => runtime.status(aside), { is: ({ reason }) => reason === "standby" })
    // Whoever is attached brings it back, and keeps it.
    const leaving = new AbortController()
    await runtime.attach(aside, { attachment: "here", signal: leaving.signal })
    await counts(aside)
    // Little is written to any disk between these, if anything is.
    await runtime.pause(aside)
    await snapshotted(aside, "paused")
    await snapshotted(aside, "idle")
    expect((await runtime.status(aside)).state).toBe("paused")
    await counts(await started(`${NAME}:idle`))
    leaving.abort()
  })

  // OVMS-SNP-038, OVMS-SNP-175
  test("all disks of a clone are of one instant, and so are those of its snapshots, forks and commits", async () => {
    const clone = await started(`${NAME}:second`)
    const { disks, snapshot } = await runtime.status(clone)
    expect<string | undefined>(snapshot).toBe(second.descriptor.digest)
    expect(disks).toEqual([
      { size: SIZE, read_only: false },
      { name: "room", size: SIZE, read_only: false },
      { name: "data", size: SIZE, read_only: false },
      { name: "tools", size: SIZE, read_only: true },
    ])
    expect(await counts(clone)).not.toContain("WROTE")
    const own = await snapshotted(clone, "own")
    expect(digests(own).map((chain) => chain.slice(0, 3))).toEqual(digests(second))
    const { instances } = await runtime.fork(clone, { count: 1 })
    const child = instances[0]?.instance_id ?? ""
    expect(await counts(child)).not.toContain("WROTE")
    await counts(clone)
    // What they need is kept, whatever becomes of the names and of where they came from.
    await stopped(clone)
    await stopped(child)
    await using layout = await openLayout(join(root, "store"))
    const { descriptor } = await commitSnapshot(layout, `${NAME}:own`)
    for (const tag of ["first", "second", "third", "of-slot", "paused", "idle", "own"])
      await layout.untag(`${NAME}:${tag}`)
    await collectImages({ store: join(root, "store"), cache: join(root, "derived") })
    await runtime.startAgain(clone)
    await counts(clone)

    const layersOf = async (target: Descriptor) =>
      (await readArtifact(layout, target)).disks.map(({ name, layers = [] }) => [name, layers.length])
    expect(await layersOf(descriptor)).toEqual([
      ["room", 3],
      ["data", 4],
      ["tools", 1],
    ])
    await runtime.commit(child, { name: `${NAME}:committed` })
    expect(await layersOf(await layout.resolve(`${NAME}:committed`))).toEqual([
      ["room", 1],
      ["data", 2],
      ["tools", 1],
    ])
    for (const disk of [2, 3]) {
      const args = `tick_ms=10 disk=${disk} read=3 read=2000`
      const text = await counts(await started(`${NAME}:committed`, { args }))
      expect(text).toContain("SECTOR 3 [written by the guest]")
      expect(/SECTOR 2000 \[[a-z ]*data of the image/.test(text)).toBe(disk === 3)
    }
  })
})
