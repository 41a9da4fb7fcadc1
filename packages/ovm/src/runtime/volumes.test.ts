import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import type { Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

setDefaultTimeout(240_000)

// Disks that belong to no machine. Their guests have no other one.

const WRITES = "localhost/tests/writes:1"
const READS = "localhost/tests/reads:1"
const SIZE = 8 << 20

let root: string
let runtime: LocalRuntime

async function open(at = root): Promise<LocalRuntime> {
  return openRuntime(at)
}

async function started(manifest: string, volumes: Overrides["volumes"]): Promise<string> {
  return (await runtime.start({ manifest, overrides: { volumes: volumes ?? [] } })).instance_id
}

function says(id: string, words: string): Promise<string> {
  const text = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return until(`${words} on the console`, text, { is: (said) => said.includes(words) })
}

async function stopped(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
}

async function volume(name: string) {
  return (await runtime.volumes()).find((one) => one.name === name)
}

describe.skipIf(guestMissing !== "")(`volumes ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-volumes-"))
    await packGuest(join(root, "store"), WRITES, "tick_ms=20 button=1 write=3 flush=1")
    await packGuest(join(root, "store"), READS, "tick_ms=20 button=1 read=3")
    runtime = await open()
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-VOL-001, OVMS-VOL-002
  test("are made whole, once, and take no room before they are written to", async () => {
    expect(await runtime.volumes()).toEqual([])
    const made = await runtime.createVolume({ name: "data", size: SIZE })
    expect(made).toMatchObject({ name: "data", size: SIZE, instances: [] })
    expect(made.used).toBeLessThan(4096 * 2)
    expect((await stat(join(root, "volumes/data/disk.raw"))).mode & 0o777).toBe(0o600)
    expect((await refusal(runtime.createVolume({ name: "data", size: SIZE }))).code).toBe("OVM_NAME_IN_USE")
    const many = await Promise.allSettled(
      Array.from({ length: 8 }, () => runtime.createVolume({ name: "race", size: SIZE })),
    )
    expect(many.filter(({ status }) => status === "fulfilled")).toHaveLength(1)
    const gone = await Promise.allSettled(Array.from({ length: 8 }, () => runtime.removeVolume("race")))
    const refused = gone.flatMap((one) => (one.status === "rejected" ? [one.reason.code] : []))
    expect(refused).toEqual(Array(7).fill("OVM_VOLUME_UNKNOWN"))
    expect(await readdir(join(root, "volumes"))).toEqual(["data"])
  })

  test("one whose disk is no file is none: it is named by a start, not followed, and can be removed", async () => {
    const folder = join(root, "volumes/odd")
    const disk = join(folder, "disk.raw")
    const elsewhere = join(root, "elsewhere")
    await writeFile(elsewhere, Buffer.alloc(1 << 20))
    for (const make of [
      () => mkdir(disk),
      () => symlink(elsewhere, disk),
      async () => expect(Bun.spawnSync(["mkfifo", disk]).exitCode).toBe(0),
    ]) {
      await mkdir(folder)
      await make()
      expect(await volume("odd")).toBeUndefined()
      const { code, message } = await refusal(started(WRITES, [{ name: "odd" }]))
      expect([code, message]).toEqual(["OVM_FILE_UNREADABLE", `the volume odd: ${disk} is no regular file`])
      expect((await refusal(runtime.createVolume({ name: "odd", size: SIZE }))).code).toBe("OVM_NAME_IN_USE")
      await runtime.removeVolume("odd")
    }
    expect((await stat(elsewhere)).size).toBe(1 << 20)
    expect(await runtime.list()).toEqual([])
  })

  test("one that was cut, so that no guest would know it again, is refused with its file", async () => {
    await runtime.createVolume({ name: "cut", size: SIZE })
    const disk = join(root, "volumes/cut/disk.raw")
    for (const size of [0, 4096, SIZE + 1]) {
      await truncate(disk, size)
      const { code, message } = await refusal(started(WRITES, [{ name: "cut" }]))
      expect([code, message]).toEqual([
        "OVM_DISK_INVALID",
        expect.stringContaining(`${disk} has ${size} bytes`),
      ])
    }
    await runtime.removeVolume("cut")
    expect(await runtime.list()).toEqual([])
  })

  // OVMS-VOL-003, OVMS-VOL-007
  test("keep what a machine wrote when that is gone, for the next one", async () => {
    const writer = await started(WRITES, [{ name: "data" }])
    await says(writer, "WROTE 3 [")
    await says(writer, "FLUSHED 2")
    expect((await refusal(runtime.removeVolume("data"))).code).toBe("OVM_VOLUME_IN_USE")
    await stopped(writer)
    expect(await volume("data")).toMatchObject({ instances: [{ instance_id: writer, in_use: false }] })
    expect((await refusal(runtime.removeVolume("data"))).code).toBe("OVM_VOLUME_IN_USE")
    await runtime.remove(writer)
    const reader = await started(READS, [{ name: "data", readOnly: true }])
    expect(await says(reader, "TICK")).toContain("SECTOR 3 [written by the guest")
    await stopped(reader)
    await runtime.startAgain(reader)
    await until("it runs", () => runtime.status(reader), { is: ({ state }) => state === "running" })
    expect(await says(reader, "TICK")).toContain("SECTOR 3 [written by the guest")
    await runtime.remove(reader, { force: true })
  })

  // OVMS-VOL-005
  test("have one writer or any number of readers, also across daemons, and for a machine that is killed", async () => {
    const inUse = async (manifest: string, readOnly: boolean) =>
      (await refusal(started(manifest, [{ name: "data", readOnly }]))).code
    const writer = await started(WRITES, [{ name: "data" }])
    await says(writer, "TICK")
    expect(await inUse(READS, true)).toBe("OVM_VOLUME_IN_USE")
    await runtime.close()
    runtime = await open()
    expect(await inUse(WRITES, false)).toBe("OVM_VOLUME_IN_USE")
    const both = await Promise.allSettled([
      started(READS, [{ name: "data" }]),
      started(READS, [{ name: "data", readOnly: true }]),
    ])
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"])
    await stopped(writer)
    const readers = [await started(READS, [{ name: "data", readOnly: true }])]
    readers.push(await started(READS, [{ name: "data", readOnly: true }]))
    for (const id of readers) await says(id, "SECTOR 3 [")
    expect((await refusal(runtime.startAgain(writer))).code).toBe("OVM_VOLUME_IN_USE")
    expect((await runtime.status(writer)).state).toBe("stopped")
    for (const id of readers) await runtime.remove(id, { force: true })
    await runtime.startAgain(writer)
    await says(writer, "TICK")
    await runtime.remove(writer, { force: true })
  })

  // OVMS-VOL-010
  test("that a machine of another runtime has fail the start by name, and are there for the next one", async () => {
    const there = await mkdtemp(join(tmpdir(), "ovm-volumes-"))
    for (const name of ["store", "volumes"]) await symlink(join(root, name), join(there, name))
    const other = await open(there)
    try {
      const writer = await started(WRITES, [{ name: "data" }])
      await says(writer, "TICK")
      for (const readOnly of [true, false]) {
        const overrides = { volumes: [{ name: "data", readOnly }] }
        const { instance_id } = await other.start({ manifest: READS, overrides })
        const { error } = await until("it has failed", () => other.status(instance_id), {
          is: ({ state }) => hasEnded(state),
        })
        expect(error).toMatchObject({
          code: "OVM_VOLUME_IN_USE",
          message: expect.stringContaining("the volume data"),
        })
      }
      await runtime.remove(writer, { force: true })
      for (const { instance_id } of await other.list()) {
        await other.remove(instance_id)
      }
      const overrides = { volumes: [{ name: "data" }] }
      const { instance_id } = await other.start({ manifest: READS, overrides })
      await until("it runs", () => other.status(instance_id), { is: ({ state }) => state === "running" })
      await other.remove(instance_id, { force: true })
    } finally {
      await other.close()
      await rm(there, { recursive: true })
    }
  })

  const damages: [string, (path: string) => Promise<void>][] = [
    [
      "is of a newer version",
      async (path) => writeFile(path, (await readFile(path, "utf8")).replace('"schema":1', '"schema":2')),
    ],
    ["was cut off", (path) => truncate(path, 100)],
  ]
  // OVMS-VOL-005, OVMS-VOL-007, OVMS-VOL-009, OVMS-VOL-011
  for (const [what, damage] of damages)
    test(`are a machine's, running or not, whose record ${what}`, async () => {
      const id = await started(WRITES, [{ name: "data" }])
      await says(id, "FLUSHED 2")
      await runtime.createVolume({ name: "other", size: SIZE })
      for (const lives of [true, false]) {
        if (!lives) await stopped(id)
        await runtime.close()
        const path = join(root, "instances", id, "instance.json")
        const record = await readFile(path)
        await damage(path)
        runtime = await open()
        expect(await runtime.status(id)).toMatchObject({
          error: { code: "OVM_RECORD_UNREADABLE" },
          volumes: [{ name: "data", read_only: false }],
        })
        expect(await volume("data")).toMatchObject({ instances: [{ instance_id: id, in_use: lives }] })
        const kept = await refusal(runtime.removeVolume("data"))
        expect([kept.code, kept.message]).toEqual(["OVM_VOLUME_IN_USE", expect.stringContaining(id)])
        expect(await volume("other")).toMatchObject({ instances: [] })
        if (lives) {
          const refused = await refusal(started(READS, [{ name: "data" }]))
          expect([refused.code, refused.detail]).toEqual([
            "OVM_VOLUME_IN_USE",
            { volume: "data", instance_id: id },
          ])
        }
        await runtime.close()
        await writeFile(path, record)
        runtime = await open()
      }
      await runtime.removeVolume("other")
      await runtime.startAgain(id)
      await says(id, "TICK")
      await runtime.remove(id, { force: true })
      expect(await volume("data")).toMatchObject({ instances: [] })
    })

  // OVMS-VOL-011
  test("of machines of before are kept as those of others, and all of them if nobody can say whose", async () => {
    const id = await started(READS, [{ name: "data", readOnly: true }])
    await stopped(id)
    await runtime.createVolume({ name: "other", size: SIZE })
    const path = join(root, "instances", id, "instance.json")
    const list = join(root, "instances", id, "volumes.json")
    const again = async (change: () => Promise<void>) => {
      await runtime.close()
      await change()
      runtime = await open()
    }
    await again(() => rm(list))
    expect(JSON.parse(await readFile(list, "utf8"))).toEqual([{ name: "data", readOnly: true }])
    await again(async () => Promise.all([truncate(path), truncate(list)]).then(() => {}))
    for (const name of ["data", "other"]) {
      expect(await volume(name)).toMatchObject({ instances: [{ instance_id: id, read_only: false }] })
      const kept = await refusal(runtime.removeVolume(name))
      expect([kept.code, kept.message]).toEqual([
        "OVM_VOLUME_IN_USE",
        `instance ${id} cannot be read, and may have the volume ${name}`,
      ])
    }
    await runtime.remove(id, { force: true })
    await runtime.removeVolume("other")
    expect(await volume("data")).toMatchObject({ instances: [] })
  })

  // OVMS-VOL-011
  test("are those that a machine has, though its request cannot be read; without either it is not started", async () => {
    await runtime.createVolume({ name: "mine", size: SIZE })
    const id = await started(WRITES, [{ name: "mine" }])
    await says(id, "FLUSHED 2")
    await stopped(id)
    await runtime.close()
    const path = join(root, "instances", id, "instance.json")
    const record = JSON.parse(await readFile(path, "utf8"))
    await writeFile(path, JSON.stringify({ ...record, request: { manifest: 1 } }))
    runtime = await open()
    await runtime.startAgain(id)
    await says(id, "FLUSHED 2")
    const reader = await refusal(started(READS, [{ name: "mine", readOnly: true }]))
    expect(reader.code).toBe("OVM_VOLUME_IN_USE")
    await stopped(id)
    await runtime.close()
    await rm(join(root, "instances", id, "volumes.json"))
    const { request: _, ...without } = JSON.parse(await readFile(path, "utf8"))
    await writeFile(path, JSON.stringify(without))
    runtime = await open()
    const refused = await refusal(runtime.startAgain(id))
    expect([refused.code, refused.message]).toEqual([
      "OVM_RECORD_UNREADABLE",
      expect.stringContaining("which volumes"),
    ])
    await runtime.remove(id)
    await runtime.removeVolume("mine")
  })

  // OVMS-VOL-004, OVMS-VOL-008
  test("that there are not, twice the same, and snapshots are refused, and nothing is left", async () => {
    const before = (await runtime.list()).length
    expect((await refusal(started(READS, [{ name: "nothing" }]))).code).toBe("OVM_VOLUME_UNKNOWN")
    expect((await refusal(started(READS, [{ name: "data" }, { name: "data" }]))).code).toBe(
      "OVM_REQUEST_INVALID",
    )
    const long = "a-name-of-more-than-20-characters"
    for (const at of [1, 2]) await runtime.createVolume({ name: `${long}-${at}`, size: SIZE })
    const alike = await refusal(started(READS, [{ name: `${long}-1` }, { name: `${long}-2` }]))
    expect([alike.code, alike.message]).toEqual([
      "OVM_REQUEST_INVALID",
      expect.stringContaining(long.slice(0, 20)),
    ])
    for (const at of [1, 2]) await runtime.removeVolume(`${long}-${at}`)
    expect((await refusal(runtime.removeVolume("nothing"))).code).toBe("OVM_VOLUME_UNKNOWN")
    expect((await refusal(runtime.removeVolume("../instances"))).code).toBe("OVM_VOLUME_UNKNOWN")
    expect((await runtime.list()).length).toBe(before)
    const id = await started(READS, [{ name: "data" }])
    await says(id, "TICK")
    const taken = await refusal(runtime.snapshot({ instance_id: id, tag: "s" }))
    expect([taken.code, taken.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("data")])
    await runtime.remove(id, { force: true })
  })

  test("what a daemon that died was making is gone, and no volume", async () => {
    await mkdir(join(root, "volumes/.making-x"))
    expect((await runtime.volumes()).map(({ name }) => name)).toEqual(["data"])
    await runtime.close()
    runtime = await open()
    expect(await readdir(join(root, "volumes"))).toEqual(["data"])
    await runtime.removeVolume("data")
    expect(await runtime.volumes()).toEqual([])
  })
})
