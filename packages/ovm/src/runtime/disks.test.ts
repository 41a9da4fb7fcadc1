import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { readArtifact } from "../artifact/machine/read.ts"
import { openLayout } from "../content/layout/store.ts"
import type { Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Disks beside the first. The guest knows one disk alone: where it has no first one, that is a further one.

setDefaultTimeout(240_000)

const ROOM = "localhost/tests/room:1"
const DATA = "localhost/tests/data:1"
const BESIDE = "localhost/tests/beside:1"
const SIZE = 2 << 20

let root: string
let runtime: LocalRuntime

async function open(): Promise<LocalRuntime> {
  return openRuntime(root)
}

/** What it says in the life that it has just begun, up to its first tick. */
async function words(id: string): Promise<string> {
  await until("it runs", () => runtime.status(id), {
    is: ({ state }) => state === "running" || hasEnded(state),
  })
  const text = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return await until("a tick", text, { is: (said) => said.includes("TICK 3") })
}

async function started(manifest: string, overrides: Overrides = {}): Promise<string> {
  return (await runtime.start({ manifest, overrides })).instance_id
}

async function stopped(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
}

const files = (id: string) =>
  readdirSync(join(root, "instances", id)).filter((name) => name.startsWith("disk-"))

describe.skipIf(guestMissing !== "")(`further disks ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-disks-"))
    const path = join(root, "disk.raw")
    await writeFile(path, Buffer.alloc(SIZE, "data of the image "))
    const layers = [{ path, format: "raw" as const }]
    const store = join(root, "store")
    // What it writes at each tick is read when it boots again.
    const args = "tick_ms=20 log=8 read=9 read=5"
    await packGuest(store, ROOM, "tick_ms=20 write=3 read=3 read=9", {
      disks: [{ name: "room", size: SIZE }],
    })
    await packGuest(store, DATA, args, { disks: [{ name: "data", layers }] })
    const beside = { diskLayers: layers, disks: [{ name: "tools", readOnly: true, layers }] }
    await packGuest(store, BESIDE, args, beside)
    runtime = await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-MAN-125, OVMS-MAN-128, OVMS-API-272
  test("one that is empty is made at the first start, and keeps what is written until the machine is removed", async () => {
    const { instance_id: id } = await runtime.create({ manifest: ROOM })
    expect((await runtime.status(id)).disks).toEqual([{ name: "room", size: SIZE, read_only: false }])
    expect(files(id)).toEqual([])
    // Of a start that was cut off while it was being made.
    await writeFile(join(root, "instances", id, "disk-room.qcow2.making"), "half")
    await runtime.startAgain(id)
    expect(await words(id)).toContain("SECTOR 9 []")
    expect(files(id)).toEqual(["disk-room.qcow2"])
    await stopped(id)
    const file = join(root, "instances", id, "disk-room.qcow2")
    const { ino } = await stat(file)
    await runtime.close()
    runtime = await open()
    await runtime.startAgain(id)
    const said = await words(id)
    expect(said).toContain(`DISK sectors=${SIZE / 512}`)
    expect(said).toContain("SECTOR 3 [written by the guest]")
    expect((await stat(file)).ino).toBe(ino)
    expect((await runtime.status(id)).disks).toEqual([{ name: "room", size: SIZE, read_only: false }])
    await runtime.remove(id, { force: true })
    const other = await started(ROOM, { args: "tick_ms=20 read=3" })
    expect(await words(other)).toContain("SECTOR 3 []")
  })

  // OVMS-MAN-124, OVMS-API-036
  test("one with layers has their content, which nobody writes to", async () => {
    const id = await started(DATA)
    expect(await words(id)).toMatch(/SECTOR 9 \[[a-z ]*data of the image/)
    await stopped(id)
    await runtime.startAgain(id)
    const again = await words(id)
    expect(again).toMatch(/SECTOR 5 \[[a-z ]*data of the image/)
    expect(again).not.toMatch(/SECTOR 9 \[[a-z ]*data of the image/)
    const other = await started(DATA, { readOnly: true })
    expect(await words(other)).toMatch(/SECTOR 9 \[[a-z ]*data of the image/)
    expect((await runtime.status(other)).disks).toEqual([{ name: "data", size: SIZE, read_only: true }])
    expect(files(other)).toEqual([])
  })

  // OVMS-API-273
  test("a commit has a layer of what was written to each, the first of one that was empty", async () => {
    for (const [image, made, layers] of [
      [ROOM, "localhost/tests/room:2", 1],
      [DATA, "localhost/tests/data:2", 2],
    ] as const) {
      const id = await started(image, { args: "tick_ms=20 write=3" })
      await words(id)
      await stopped(id)
      const { digest, size } = await runtime.commit(id, { name: made })
      expect(size).toBeLessThan(SIZE / 2)
      await using layout = await openLayout(join(root, "store"))
      const artifact = await readArtifact(layout, await layout.resolve(made))
      expect<string>(artifact.descriptor.digest).toBe(digest)
      expect(artifact.layers).toEqual([])
      expect(artifact.disks[0]?.layers).toHaveLength(layers)
      expect(artifact.disks[0]?.size).toBeUndefined()
      const said = await words(await started(made, { args: "tick_ms=20 read=3 read=5" }))
      expect(said).toContain(`DISK sectors=${SIZE / 512}`)
      expect(said).toContain("SECTOR 3 [written by the guest]")
      if (layers === 2) expect(said).toMatch(/SECTOR 5 \[[a-z ]*data of the image/)
    }
    // One that was never started has written nothing.
    const { instance_id } = await runtime.create({ manifest: ROOM })
    const refused = await refusal(runtime.commit(instance_id, { name: "localhost/tests/room:3" }))
    expect(refused.code).toBe("OVM_UNSUPPORTED")
  })

  // OVMS-SNP-177, OVMS-API-273
  test("one that is only read is there in clones of the machine and in images that are made of it", async () => {
    const id = await started(BESIDE, { args: "tick_ms=20 write=3" })
    await words(id)
    await runtime.snapshot({ instance_id: id, tag: "s" })
    const clone = await started("localhost/tests/beside:s")
    const { snapshot, disks } = await runtime.status(clone)
    await words(clone)
    expect([snapshot !== undefined, disks]).toEqual([
      true,
      [
        { size: SIZE, read_only: false },
        { name: "tools", size: SIZE, read_only: true },
      ],
    ])
    await stopped(clone)
    await runtime.commit(clone, { name: "localhost/tests/beside:2" })
    await using layout = await openLayout(join(root, "store"))
    const made = await readArtifact(layout, await layout.resolve("localhost/tests/beside:2"))
    expect(made.layers).toHaveLength(2)
    expect(made.disks).toMatchObject([{ name: "tools", readOnly: true, layers: [{ format: "raw" }] }])
    const args = "tick_ms=20 read=3"
    expect(await words(await started("localhost/tests/beside:2", { args }))).toContain(
      "SECTOR 3 [written by the guest]",
    )
  })

  // OVMS-VOL-003
  test("a volume of the same name is refused, since the guest could not tell it from the disk", async () => {
    await runtime.createVolume({ name: "room", size: SIZE })
    const error = await refusal(started(ROOM, { volumes: [{ name: "room" }] }))
    expect(error).toMatchObject({ code: "OVM_REQUEST_INVALID", message: expect.stringContaining("room") })
    expect(await runtime.list()).toEqual([])
  })
})
