import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { closeSync, existsSync, openSync, writeSync } from "node:fs"
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { pidsIn, vmmsBelow } from "@ovms/testkit/processes.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { until } from "@ovms/testkit/until.ts"
import { availableVmms } from "../../vmm/available.ts"
import type { InstanceInfo, Overrides } from "../interfaces.ts"
import type { LocalRuntime } from "../local.ts"
import { openRuntime } from "../runtime.testing.ts"
import { hasEnded } from "../states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const GUEST = "localhost/tests/guest:1"
const SOON = 1000

let root: string
let runtime: LocalRuntime

async function start(overrides: Overrides = {}): Promise<string> {
  const asked = { standbyAfter: SOON, ...overrides }
  return (await runtime.start({ manifest: GUEST, overrides: asked })).instance_id
}

/** Of its life until it was put aside, and since: one console. */
async function ticks(id: string): Promise<number[]> {
  const said = Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  return [...said.matchAll(/TICK (\d+)\r?\n/g)].map(([, tick]) => Number(tick))
}

async function becomes(id: string, is: (info: InstanceInfo) => boolean): Promise<InstanceInfo> {
  return await until("it has changed", () => runtime.status(id), { is })
}

const onStandby = ({ state, reason }: InstanceInfo) => state === "paused" && reason === "standby"

async function restsIn(id: string): Promise<InstanceInfo> {
  const info = await becomes(id, onStandby)
  await until("its process is gone", () => vmmsBelow(root), { is: (pids) => pids.length === 0 })
  return info
}

async function ticksOn(id: string): Promise<void> {
  const before = (await ticks(id)).at(-1) ?? 0
  await until(`a tick after ${before}`, () => ticks(id), { is: (found) => (found.at(-1) ?? 0) > before })
}

/** Its guest writes down each tick, unless it `rests`. */
async function pack(rests = false): Promise<void> {
  const disk = `${root}.raw`
  await writeFile(disk, Buffer.alloc(1 << 20))
  await packGuest(join(root, "store"), GUEST, `tick_ms=50 hlt=1${rests ? "" : " log=8"}`, {
    diskLayers: [{ path: disk, format: "raw" }],
  })
}

describe.skipIf(guestMissing !== "")(`standby ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-standby-"))
    await pack()
    runtime = await openRuntime(root)
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

  test("a machine that nobody talks to takes no process, and goes on where it was (OVMS-STA-060, OVMS-STA-063, OVMS-STA-065, OVMS-STA-067)", async () => {
    const id = await start()
    const { generation_id, standby_after } = await restsIn(id)
    expect(standby_after).toBe(SOON)
    const left = (await ticks(id)).at(-1)
    await Bun.sleep(300)
    expect((await ticks(id)).at(-1)).toBe(left)
    expect(await runtime.resume(id)).toEqual({ status: "running" })
    // At once: it is put aside again soon.
    const files = await readdir(join(root, "instances", id))
    expect(files.filter((name) => name.startsWith("snapshot"))).toEqual([])
    await ticksOn(id)
    const info = await runtime.status(id)
    expect([info.state, info.reason, info.generation_id]).toEqual(["running", undefined, generation_id])
    const { spawn, load, resume, total } = info.timings_ms
    expect([spawn, load, resume, total].every((ms) => typeof ms === "number")).toBe(true)
    // Not one is missing, and none was said twice: one life.
    const all = await ticks(id)
    expect(all).toEqual(all.map((_, at) => (all[0] ?? 0) + at))
    // And again, from what it wrote since.
    await becomes(id, onStandby)
    expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "running" })
    await ticksOn(id)
    const text = Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
    expect(text).not.toContain("DISK-LOST")
  })

  test("whoever is attached, or asks again and again, keeps it from that (OVMS-STA-060)", async () => {
    const id = await start()
    await becomes(id, ({ state }) => state === "running")
    const leaving = new AbortController()
    const console = await runtime.attach(id, { attachment: "a", signal: leaving.signal })
    await Bun.sleep(3 * SOON)
    expect((await runtime.status(id)).state).toBe("running")
    leaving.abort()
    for await (const _ of console);
    await becomes(id, onStandby)
    await Promise.all([
      runtime.resume(id),
      runtime.startAgain(id),
      runtime.snapshot({ instance_id: id, tag: "s" }),
    ])
    expect(await vmmsBelow(root)).toHaveLength(1)
    await ticksOn(id)
  })

  test("what of it was killed before is there again once it is back (OVMS-STA-037)", async () => {
    const id = await start({ standbyAfter: 4 * SOON })
    await becomes(id, ({ state }) => state === "running")
    for (const keeper of pidsIn(join(root, "instances", id), "ovm-keeper")) process.kill(keeper, "SIGKILL")
    await becomes(id, ({ degraded }) => degraded?.join() === "keeper")
    await restsIn(id)
    await runtime.resume(id)
    expect((await runtime.status(id)).degraded).toBeUndefined()
    await ticksOn(id)
  })

  test("another runtime finds it as it was (OVMS-STA-061, OVMS-STA-066)", async () => {
    const id = await start({ network: { ports: [{ guest: 80 }] } })
    const { network } = await becomes(id, onStandby)
    await runtime.close()
    runtime = await openRuntime(root)
    expect(await runtime.status(id)).toMatchObject({ state: "paused", reason: "standby", network })
    const [port] = network?.ports ?? []
    const knock = await Bun.connect({
      hostname: "127.0.0.1",
      port: port?.host ?? 0,
      socket: { data: () => {}, error: () => {} },
    })
    await becomes(id, ({ state }) => state === "running")
    knock.end()
    await ticksOn(id)
  })

  test("whoever sees that it is on standby is heard, the second time as well (OVMS-STA-062)", async () => {
    const id = await start({ network: { ports: [{ guest: 80 }] } })
    const { network } = await becomes(id, onStandby)
    const [port] = network?.ports ?? []
    await runtime.resume(id)
    // What has carried its network until then has the port for a while yet.
    while (!onStandby(await runtime.status(id))) await Bun.sleep(1)
    const knock = await Bun.connect({
      hostname: "127.0.0.1",
      port: port?.host ?? 0,
      socket: { data: () => {}, error: () => {} },
    })
    await becomes(id, ({ state }) => state === "running")
    knock.end()
  })

  test("whoever connects while it is put aside keeps it from that (OVMS-STA-073)", async () => {
    const id = await start({ network: { ports: [{ guest: 80 }] } })
    const [port] = (await becomes(id, ({ state }) => state === "running")).network?.ports ?? []
    const held = join(root, "instances", id, "snapshot.held")
    while (!existsSync(held)) await Bun.sleep(1)
    const knock = await Bun.connect({
      hostname: "127.0.0.1",
      port: port?.host ?? 0,
      socket: { data: () => {}, error: () => {} },
    })
    while (existsSync(held)) await Bun.sleep(1)
    expect(await vmmsBelow(root)).toHaveLength(1)
    await ticksOn(id)
    knock.terminate()
  })

  test("it is stopped, started again and committed like one that stands still (OVMS-STA-066)", async () => {
    const id = await start()
    await restsIn(id)
    await runtime.commit(id, { name: "localhost/tests/guest:committed" })
    expect((await refusal(runtime.remove(id))).code).toBe("OVM_STATE_CONFLICT")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    const ended = await becomes(id, ({ state }) => hasEnded(state))
    expect([ended.state, ended.exit]).toEqual(["stopped", { reason: "quit" }])
    const left = async () =>
      (await readdir(join(root, "instances", id))).filter((name) => name.startsWith("snapshot"))
    await until("its memory is gone", left, { is: (names) => names.length === 0 })
    await runtime.startAgain(id)
    await becomes(id, ({ state }) => state === "running")
    await becomes(id, onStandby)
    await runtime.restart(id)
    expect(await becomes(id, ({ state }) => state === "running")).toMatchObject({ standby_after: SOON })
  })

  test("whoever changes its ports brings it back (OVMS-STA-060, OVMS-API-265, OVMS-API-267)", async () => {
    const id = await start({ network: { ports: [{ guest: 80 }] } })
    await restsIn(id)
    const port = await runtime.addPort(id, { guest: 81 })
    expect((await becomes(id, onStandby)).network?.ports).toContainEqual(port)
    await runtime.removePort(id, port)
    expect((await runtime.status(id)).network?.ports).toHaveLength(1)
  })

  test("what could not be put aside is refused (OVMS-STA-068)", async () => {
    await runtime.createVolume({ name: "data", size: 1 << 20 })
    const error = await refusal(start({ volumes: [{ name: "data" }] }))
    expect([error.code, error.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("standbyAfter")])
    expect(await runtime.list()).toEqual([])
    await runtime.removeVolume("data")
  })
})

const missing = guestMissing || mountMissing

test.skipIf(missing !== "")(`without room for its memory it goes on (OVMS-STA-061) ${missing}`, async () => {
  const outside = await mkdtemp(join(tmpdir(), "ovm-standby-full-"))
  root = join(outside, "root")
  await withTmpfs(root, 64 << 20, async () => {
    await pack(true)
    runtime = await openRuntime(root, { vmms: availableVmms(join(outside, "cache")) })
    const id = await start({ standbyAfter: 3000 })
    await becomes(id, ({ state }) => state === "running")
    const fd = openSync(join(root, "ballast"), "a")
    for (let size = 1 << 20; size > 0; )
      try {
        writeSync(fd, Buffer.alloc(size, 1))
      } catch {
        size >>= 1
      }
    closeSync(fd)
    await Bun.sleep(6000)
    expect(await vmmsBelow(root)).toHaveLength(1)
    await rm(join(root, "ballast"))
    await becomes(id, onStandby)
    await runtime.resume(id)
    await ticksOn(id)
    await runtime.remove(id, { force: true })
    await runtime.close()
  })
  await rm(outside, { recursive: true })
})
