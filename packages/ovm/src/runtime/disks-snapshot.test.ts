import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { readArtifact } from "../artifact/machine/read.ts"
import { readSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import { openLayout } from "../content/layout/store.ts"
import { collectImages } from "../images/collect.ts"
import { commitSnapshot } from "../images/commit-snapshot.ts"
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

/** Waits for ten more ticks, none of which finds a disk of another instant. */
async function counts(id: string): Promise<string> {
  await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" || hasEnded(state) })
  const before = ticks(await said(id))
  const text = await until("ten ticks", () => said(id), { is: (text) => ticks(text) >= before + 10 })
  expect(text).not.toMatch(/DISK-(?!ID )/)
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

describe.skipIf(guestMissing !== "")(`snapshots with further disks ${guestMissing}`, () => {
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
    })
    runtime = await openRuntime(root)
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-SNP-037, OVMS-SNP-038, OVMS-SNP-175, OVMS-SNP-177
  test("all disks of a clone are of one instant, and so are those of its own snapshots, forks and commits", async () => {
    const source = await started(`${NAME}:1`)
    await counts(source)
    const first = await snapshotted(source, "first")
    expect(first.disks.map(({ name, overlays }) => [name, overlays.length])).toEqual([
      ["room", 1],
      ["data", 1],
    ])
    await counts(source)
    const second = await snapshotted(source, "second")
    expect(second.snapshot.parent).toBe(first.descriptor.digest)
    expect(digests(second).map((chain) => chain.slice(0, 2))).toEqual(digests(first))
    expect(second.disks.map(({ overlays }) => overlays.length)).toEqual([2, 2])
    // It boots from its chains as it booted from its first overlays.
    await stopped(source)
    await runtime.startAgain(source)
    expect(await counts(source)).toContain("WROTE 3")
    await runtime.remove(source, { force: true })

    const clone = await started(`${NAME}:second`)
    const { disks, snapshot } = await runtime.status(clone)
    expect(snapshot).toBe(second.descriptor.digest)
    expect(disks).toEqual([
      { size: SIZE, read_only: false },
      { name: "room", size: SIZE, read_only: false },
      { name: "data", size: SIZE, read_only: false },
      { name: "tools", size: SIZE, read_only: true },
    ])
    expect(await counts(clone)).not.toContain("GUEST-READY")
    const third = await snapshotted(clone, "third")
    expect(digests(third).map((chain) => chain.slice(0, 3))).toEqual(digests(second))

    const { instances } = await runtime.fork(clone, { count: 2 })
    for (const { instance_id } of instances) expect(await counts(instance_id)).not.toContain("GUEST-READY")
    await counts(clone)
    // What it needs is kept, whatever becomes of the names and of where it came from.
    for (const tag of ["first", "second", "third"]) await runtime.removeImage?.(`${NAME}:${tag}`)
    const child = instances[0]?.instance_id ?? ""
    await stopped(clone)
    await collectImages({ store: join(root, "store"), cache: join(root, "derived") })
    await runtime.startAgain(clone)
    await counts(clone)
    await stopped(child)
    await runtime.startAgain(child)
    await counts(child)

    await stopped(child)
    await runtime.commit(child, { name: `${NAME}:committed` })
    await using layout = await openLayout(join(root, "store"))
    const made = await readArtifact(layout, await layout.resolve(`${NAME}:committed`))
    expect(made.disks.map(({ name, layers = [] }) => [name, layers.length])).toEqual([
      ["room", 1],
      ["data", 2],
      ["tools", 1],
    ])
    for (const disk of [2, 3]) {
      const id = await started(`${NAME}:committed`, { args: `tick_ms=10 disk=${disk} read=3 read=2000` })
      const text = await counts(id)
      expect(text).toContain("SECTOR 3 [written by the guest]")
      expect(/SECTOR 2000 \[[a-z ]*data of the image/.test(text)).toBe(disk === 3)
    }
  })
})
