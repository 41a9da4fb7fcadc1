import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { closeSync, openSync, rmSync, statSync, writeSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { until } from "@ovms/testkit/until.ts"
import { availableVmms } from "../../vmm/available.ts"
import type { ForkRequest, InstanceInfo, Overrides } from "../interfaces.ts"
import type { LocalRuntime } from "../local.ts"
import { openRuntime } from "../runtime.testing.ts"
import { hasEnded } from "../states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const GUEST = "localhost/tests/guest:1"

let root: string
let runtime: LocalRuntime

async function open(other: Parameters<typeof openRuntime>[1] = {}): Promise<void> {
  runtime = await openRuntime(root, other)
}

/** One that runs, and has written to its disk. */
async function source(overrides: Overrides = {}): Promise<string> {
  const { instance_id } = await runtime.start({ manifest: GUEST, overrides })
  await ticksAfter(instance_id, 0)
  return instance_id
}

async function lastTick(id: string): Promise<number> {
  const text = Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return Number(
    text
      .match(/TICK (\d+)\r?\n/g)
      ?.at(-1)
      ?.match(/\d+/)?.[0] ?? 0,
  )
}

async function ticksAfter(id: string, before: number): Promise<number> {
  return await until(`a tick after ${before}`, () => lastTick(id), { is: (tick) => tick > before })
}

async function settled(id: string): Promise<InstanceInfo> {
  return await until("it has started", () => runtime.status(id), { is: ({ state }) => state !== "starting" })
}

/** Children that run. */
async function children(id: string, request: ForkRequest): Promise<InstanceInfo[]> {
  const { instances } = await runtime.fork(id, request)
  const infos = await Promise.all(instances.map(({ instance_id }) => settled(instance_id)))
  expect(infos.map(({ state, error }) => [state, error])).toEqual(infos.map(() => ["running", undefined]))
  return infos
}

const directory = (id: string) => join(root, "instances", id)
const inode = (id: string, name: string) => statSync(join(directory(id), name)).ino

async function stop(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
}

async function pack(): Promise<void> {
  const disk = `${root}.raw`
  await writeFile(disk, Buffer.alloc(1 << 20))
  await packGuest(join(root, "store"), GUEST, "tick_ms=20 hlt=1 write=3", {
    diskLayers: [{ path: disk, format: "raw" }],
  })
}

describe.skipIf(guestMissing !== "")(`fork ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-fork-"))
    await pack()
    await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    expect(await vmmsBelow(root)).toEqual([])
    expect(await readdir(join(root, "instances"))).toEqual([])
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  test("children go on from one instant, and so does the machine (OVMS-API-440, OVMS-API-442, OVMS-API-443, OVMS-SNP-090)", async () => {
    const id = await source({ name: "one", labels: { tier: "web" } })
    const before = await lastTick(id)
    const infos = await children(id, { count: 3, name: "job" })
    expect(infos.map(({ name, fork, labels }) => [name, fork, labels])).toEqual(
      [0, 1, 2].map((index) => [`job-${index}`, { source: id, index }, { tier: "web" }]),
    )
    const own = await runtime.status(id)
    expect(own.state).toBe("running")
    expect(new Set([own, ...infos].map(({ generation_id }) => generation_id)).size).toBe(4)
    expect(new Set([own, ...infos].map(({ network }) => network?.mac)).size).toBe(1)
    for (const { instance_id } of infos) {
      expect(await ticksAfter(instance_id, before)).toBeGreaterThan(before)
      const text = Buffer.concat(await Array.fromAsync(await runtime.logs(instance_id))).toString()
      expect(text).not.toContain("GUEST-READY")
      // Nothing was copied, and RAM has no name any more.
      expect(inode(instance_id, "below-0.qcow2")).toBe(inode(id, "overlay.qcow2"))
      expect((await readdir(directory(instance_id))).filter((name) => name.startsWith("snapshot"))).toEqual(
        [],
      )
    }
    await ticksAfter(id, await lastTick(id))
    expect(JSON.parse(await readFile(join(root, "store/index.json"), "utf8")).manifests).toHaveLength(1)
  })

  test("a child outlives its source, starts again, is committed, snapshotted and forked (OVMS-API-446, OVMS-API-447)", async () => {
    const id = await source()
    const [first, second] = await children(id, { count: 2 })
    const [one = "", two = ""] = [first?.instance_id, second?.instance_id]
    await runtime.remove(id, { force: true })
    await ticksAfter(one, await lastTick(one))
    await stop(one)
    await runtime.commit(one, { name: "localhost/tests/guest:committed" })
    await runtime.startAgain(one)
    expect(await settled(one)).toMatchObject({ state: "running", fork: { source: id, index: 0 } })
    const { snapshot_ref } = await runtime.snapshot({ instance_id: two, tag: "of-child" })
    const clone = await runtime.start({ manifest: "localhost/tests/guest:of-child" })
    expect(await settled(clone.instance_id)).toMatchObject({ state: "running", snapshot: snapshot_ref })
    await ticksAfter(clone.instance_id, 0)
    const [third] = await children(two, {})
    await runtime.remove(two, { force: true })
    await ticksAfter(third?.instance_id ?? "", 0)
  })

  test("the machine is snapshotted, stopped and started again as before, and one that is paused stays so", async () => {
    const id = await source()
    await children(id, {})
    await runtime.snapshot({ instance_id: id, tag: "after" })
    await runtime.pause(id)
    const [child] = await children(id, {})
    await ticksAfter(child?.instance_id ?? "", 0)
    expect(await runtime.status(id)).toMatchObject({ state: "paused", reason: "request" })
    await runtime.resume(id)
    await ticksAfter(id, await lastTick(id))
    await stop(id)
    await runtime.startAgain(id)
    expect(await settled(id)).toMatchObject({ state: "running" })
    expect((await runtime.status(id)).fork).toBeUndefined()
  })

  test("ports lead to each child by a port of its own, and it reaches no more (OVMS-API-448, OVMS-API-451)", async () => {
    const id = await source({ network: { ports: [{ guest: 80 }], outbound: false } })
    const infos = await children(id, { count: 2 })
    const all = [await runtime.status(id), ...infos].map(({ network }) => network)
    expect(all.map((network) => network?.outbound)).toEqual([false, false, false])
    expect(all.flatMap((network) => network?.ports?.map(({ guest }) => guest))).toEqual([80, 80, 80])
    expect(new Set(all.flatMap((network) => network?.ports?.map(({ host }) => host))).size).toBe(3)
    const [child] = infos
    await stop(child?.instance_id ?? "")
    await runtime.startAgain(child?.instance_id ?? "")
    expect((await settled(child?.instance_id ?? "")).network).toMatchObject({
      ports: child?.network?.ports ?? [],
      outbound: false,
    })
  })

  test("what cannot be forked is refused, and there is no child (OVMS-API-442, OVMS-API-445, OVMS-API-449, OVMS-API-450)", async () => {
    const id = await source({ name: "job-1" })
    const code = async (work: Promise<unknown>) => (await refusal(work)).code
    expect(await code(runtime.fork(id, { count: 2, name: "job" }))).toBe("OVM_NAME_IN_USE")
    expect(await runtime.list()).toHaveLength(1)
    await runtime.snapshot({ instance_id: id, tag: "once", multi_resume: "deny" })
    const once = (await runtime.start({ manifest: "localhost/tests/guest:once" })).instance_id
    await settled(once)
    expect(await code(runtime.fork(once, {}))).toBe("OVM_RESUME_DENIED")
    await stop(id)
    expect(await code(runtime.fork(id, {}))).toBe("OVM_STATE_CONFLICT")
    await runtime.createVolume({ name: "data", size: 1 << 20 })
    const volume = await source({ volumes: [{ name: "data" }] })
    const error = await refusal(runtime.fork(volume, {}))
    expect([error.code, error.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("data")])
    expect(await runtime.list()).toHaveLength(3)
    expect(await readdir(join(root, "instances"))).toHaveLength(3)
  })

  test("a machine whose only disk tells it of its first boot is forked as well", async () => {
    const diskless = "localhost/tests/diskless:1"
    await packGuest(join(root, "store"), diskless, "tick_ms=20 hlt=1")
    const overrides = { config: { hostname: "alone" } }
    const { instance_id } = await runtime.start({ manifest: diskless, overrides })
    const before = await ticksAfter(instance_id, 0)
    const [child] = await children(instance_id, { count: 1 })
    await ticksAfter(child?.instance_id ?? "", before)
  })

  test("no more than there may be, and none of them else (OVMS-API-450)", async () => {
    await runtime.close()
    await open({ limits: { running: 3 } })
    const id = await source()
    expect((await refusal(runtime.fork(id, { count: 3 }))).code).toBe("OVM_TOO_MANY")
    expect(await runtime.list()).toHaveLength(1)
    await children(id, { count: 2 })
    await runtime.close()
    await open()
    const found = await runtime.list()
    expect(found.map(({ state }) => state)).toEqual(["running", "running", "running"])
    for (const { instance_id } of found) await ticksAfter(instance_id, await lastTick(instance_id))
  })
})

const missing = guestMissing || mountMissing

test.skipIf(missing !== "")(
  `a fork for which there is no room is refused, and the machine goes on (OVMS-API-445) ${missing}`,
  async () => {
    const outside = await mkdtemp(join(tmpdir(), "ovm-fork-full-"))
    root = join(outside, "root")
    await withTmpfs(root, 64 << 20, async () => {
      await pack()
      await open({ vmms: availableVmms(join(outside, "cache")) })
      const id = await source()
      const ballast = join(root, "ballast")
      const fd = openSync(ballast, "a")
      for (let size = 1 << 20; size > 0; )
        try {
          writeSync(fd, Buffer.alloc(size, 1))
        } catch {
          size >>= 1
        }
      closeSync(fd)
      // Not even for a directory, and for some of the RAM.
      for (const room of [0, 512 << 10]) {
        await truncate(ballast, statSync(ballast).size - room)
        expect((await refusal(runtime.fork(id, { count: 2 }))).code).toBe("OVM_NO_SPACE")
        expect((await runtime.list()).map(({ instance_id }) => instance_id)).toEqual([id])
        expect(await readdir(join(root, "instances"))).toEqual([id])
        await ticksAfter(id, await lastTick(id))
      }
      rmSync(ballast)
      await ticksAfter(id, await lastTick(id))
      await children(id, { count: 2 })
      for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
      await runtime.close()
    })
    await rm(outside, { recursive: true })
  },
)
