import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { DISK_FAULT, guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { lockLikeQemu } from "@ovms/testkit/ofd-lock.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { collectGarbage } from "../content/layout/gc.ts"
import { availableVmms } from "../vmm/available.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { InstanceInfo, Overrides, State } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// Machines that are stopped and started again: what their guests have written is there, and nothing is lost on the way.

const IMAGE = "localhost/tests/again:1"
/** Notes each tick on the disk, and complains of one that is gone (guest/README.md). */
const ARGS = "tick_ms=20 button=1 write=3 read=3"

let root: string
let runtime: LocalRuntime
const store = () => join(root, "store")
const folder = (id: string) => join(root, "instances", id)

/** While it is there, nobody is told what a machine uses. */
let looking: PromiseWithResolvers<void> | undefined

/** A VMM whose machines take as long to say what they use as a busy host has them take. */
function slowToTell(vmm: Vmm): Vmm {
  return {
    name: vmm.name,
    capabilities: () => vmm.capabilities(),
    check: (plan) => vmm.check(plan),
    adopt: (record, call) => vmm.adopt(record, call),
    launch: async (plan, call) => {
      const machine: Machine = await vmm.launch(plan, call)
      const tell = machine.usage.bind(machine)
      const usage = async () => {
        await looking?.promise
        return await tell()
      }
      return Object.defineProperty(machine, "usage", { value: usage })
    },
    ...(vmm.loader && { loader: vmm.loader }),
  }
}

async function open(): Promise<LocalRuntime> {
  return openRuntime(root, { vmms: availableVmms(join(root, "cache")).map(slowToTell) })
}

async function pack(): Promise<void> {
  const layer = { path: join(root, "disk.raw"), format: "raw" as const }
  await packGuest(store(), IMAGE, ARGS, { diskLayers: [layer] })
}

function reach(id: string, ...states: State[]): Promise<InstanceInfo> {
  return until(`${id} is ${states.join(" or ")}`, () => runtime.status(id), {
    is: ({ state }) => states.includes(state) || hasEnded(state),
  })
}

async function text(id: string, previous = false): Promise<string> {
  return Buffer.concat(await Array.fromAsync(await runtime.logs(id, { previous }))).toString()
}

/** The console once the guest ticks. */
function ticking(id: string): Promise<string> {
  return until("a tick", () => text(id), { is: (text) => text.includes("TICK 2") })
}

async function started(manifest: string, overrides: Overrides = {}): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest, overrides })
  expect(await reach(id, "running")).toMatchObject({ state: "running" })
  await ticking(id)
  return id
}

async function stopped(id: string): Promise<InstanceInfo> {
  await runtime.stop({ instance_id: id })
  return await until(`${id} has ended`, () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
}

async function again(id: string): Promise<InstanceInfo> {
  expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "starting" })
  const info = await reach(id, "running")
  expect(info).toMatchObject({ state: "running" })
  return info
}

describe.skipIf(guestMissing !== "")(`a machine that is started again ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-again-"))
    await writeFile(join(root, "disk.raw"), Buffer.alloc(1 << 20))
    await pack()
    runtime = await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-163, OVMS-API-166, OVMS-STA-028
  test("has its disk, its name, its resources, and a life of its own", async () => {
    const id = await started(IMAGE, { name: "web", memory: 48 << 20 })
    const first = await stopped(id)
    expect(await text(id, true)).toBe("")
    const before = await text(id)
    expect(before).toContain("POWER-BUTTON")
    expect(first).toMatchObject({ state: "stopped", stop_method: "guest", name: "web" })
    await runtime.startAgain(id)
    // By the answer: whoever follows the console then sees the new life's.
    expect([await text(id, true), (await text(id)).includes("POWER-BUTTON")]).toEqual([before, false])
    const second = await reach(id, "running")
    expect(second).toMatchObject({ name: "web", created: first.created, image: first.image })
    expect(second.resources).toMatchObject({ vcpus: 1, memory: 48 << 20 })
    expect(second.exit).toBeUndefined()
    expect(second.finished).toBeUndefined()
    expect(second.stop_method).toBeUndefined()
    const said = await ticking(id)
    expect(said).toContain("TICK 1\r\n")
    expect(said.match(/GUEST-READY/g)).toHaveLength(1)
    expect(await text(id, true)).toBe(before)
    expect(await stopped(id)).toMatchObject({ state: "stopped", exit: { status: 0 } })
    await again(id)
  })

  // OVMS-API-163
  test.skipIf(!qemuImg.present)(
    `reads what was written, on the content that it was started from, whatever the name stands for now ${qemuImg.note}`,
    async () => {
      const args = "tick_ms=20 button=1 write=5 read=9"
      const id = await started(IMAGE, { args })
      expect(await ticking(id)).toContain("SECTOR 9 []")
      await stopped(id)
      // In place of a guest: it is told the same in each of its lives, and would write the same.
      qemuImg.io(join(folder(id), "overlay.qcow2"), `write -P 0x41 ${9 * 512} 512`)
      await packGuest(store(), IMAGE, "tick_ms=20 ticks=1", { name: "other" })
      await collectGarbage(store())
      await again(id)
      const said = await ticking(id)
      expect(said).toContain(`CMDLINE [${args}]`)
      expect(said).toContain("SECTOR 9 [AAAA")
      await pack()
    },
  )

  test("what was written before a snapshot is there, also after the snapshot and its base have gone from their names", async () => {
    const write = await started(IMAGE, { args: "tick_ms=20 hlt=1 log=8" })
    const snapshot = await runtime.snapshot({ instance_id: write, tag: "s" })
    expect(snapshot.snapshot_ref).toBeString()
    await runtime.stop({ instance_id: write, grace_ms: 0 })
    await until("it has ended", () => runtime.status(write), { is: ({ state }) => hasEnded(state) })
    await collectGarbage(store())
    await again(write)
    expect(await ticking(write)).not.toMatch(DISK_FAULT)
    const clone = await started("localhost/tests/again:s")
    const info = await runtime.status(clone)
    expect(info.snapshot).toBe(snapshot.snapshot_ref)
    await runtime.stop({ instance_id: clone, grace_ms: 0 })
    await until("it has ended", () => runtime.status(clone), { is: ({ state }) => hasEnded(state) })
    // A clone boots, from the disk of the snapshot and of its own life.
    const booted = await again(clone)
    expect(booted.snapshot).toBeUndefined()
    expect(booted.generation_id).not.toBe(info.generation_id)
    expect(await ticking(clone)).toContain("GUEST-READY")
    const deeper = await runtime.snapshot({ instance_id: clone, tag: "deeper" })
    expect(deeper.snapshot_ref).not.toBe(snapshot.snapshot_ref)
  })

  // OVMS-API-165
  test("one that runs is left alone; what is paused or never ran is refused", async () => {
    const id = await started(IMAGE)
    expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "running" })
    await runtime.pause(id)
    expect((await refusal(runtime.startAgain(id))).code).toBe("OVM_STATE_CONFLICT")
    await runtime.resume(id)
    await stopped(id)
    const answers = await Promise.all([
      runtime.startAgain(id),
      runtime.startAgain(id),
      runtime.startAgain(id),
    ])
    for (const answer of answers) expect(answer).toEqual({ instance_id: id, status: "starting" })
    await reach(id, "running")
    expect((await refusal(runtime.startAgain("00000000-0000-4000-8000-000000000000"))).code).toBe(
      "OVM_INSTANCE_UNKNOWN",
    )
  })

  // OVMS-API-164
  test("one that is refused is as it was, and one that fails later keeps its disk", async () => {
    const id = await started(IMAGE)
    const before = await stopped(id)
    const policy = join(root, "policy.json")
    await writeFile(policy, '{"schemaVersion":1,"default":{"rule":"reject"}}')
    const error = await refusal(runtime.startAgain(id))
    expect(error.code).toMatch(/^OVM_POLICY/)
    expect(await runtime.status(id)).toEqual(before)
    await rm(policy)
    const overlay = join(folder(id), "overlay.qcow2")
    await rename(overlay, `${overlay}.aside`)
    expect((await refusal(runtime.startAgain(id))).code).toBe("OVM_FILE_UNREADABLE")
    expect(await runtime.status(id)).toEqual(before)
    await rename(`${overlay}.aside`, overlay)
    const letGo = lockLikeQemu(overlay)
    expect(await runtime.startAgain(id)).toMatchObject({ status: "starting" })
    expect(await reach(id)).toMatchObject({ state: "failed", error: { code: "OVM_VMM_FAILED" } })
    expect(existsSync(overlay)).toBe(true)
    // A VMM that did not start has said nothing, and takes nobody's place.
    expect(await text(id)).toBe("")
    expect(await text(id, true)).toContain("POWER-BUTTON")
    letGo()
    await again(id)
    expect(await ticking(id)).toContain("SECTOR 3 [written by the guest]")
  })

  test("after another daemon has taken over, and after the host was restarted", async () => {
    const id = await started(IMAGE, { args: ARGS.replaceAll("3", "7") })
    await stopped(id)
    await runtime.close()
    runtime = await open()
    await again(id)
    await stopped(id)
    await runtime.close()
    const record = join(folder(id), "instance.json")
    const kept = JSON.parse(await readFile(record, "utf8"))
    await writeFile(
      record,
      JSON.stringify({
        ...kept,
        info: { ...kept.info, state: "running" },
        machine: { ...kept.machine, bootId: "another" },
      }),
    )
    runtime = await open()
    await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
    await again(id)
    expect(await ticking(id)).toContain("SECTOR 7 [written by the guest]")
  })

  // OVMS-API-167
  test("who looked just before a restart sees no end either", async () => {
    const id = await started(IMAGE)
    looking = Promise.withResolvers()
    const [status, list] = [runtime.status(id), runtime.list()]
    await runtime.restart(id, { graceMs: 0 })
    looking.resolve()
    looking = undefined
    expect(["starting", "running"]).toContain((await status).state)
    expect((await list).filter(({ instance_id, state }) => instance_id === id && hasEnded(state))).toEqual([])
    await runtime.remove(id, { force: true })
  })

  // OVMS-API-167
  test("a restart is another life, begun as soon as the last one is over; whoever looks sees no end between", async () => {
    const id = await started(IMAGE)
    const { started: before } = await runtime.status(id)
    const states = new Set<State>()
    let over = false
    const looking = (async () => {
      for (; !over; await Bun.sleep(1)) states.add((await runtime.status(id)).state)
    })()
    expect(await runtime.restart(id)).toEqual({ instance_id: id, status: "starting" })
    const info = await reach(id, "running")
    over = true
    await looking
    expect(info.started).not.toBe(before)
    expect([...states].filter(hasEnded)).toEqual([])
    await runtime.pause(id)
    await runtime.restart(id, { graceMs: 0 })
    await reach(id, "running")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await until("it has ended", () => runtime.status(id), { is: ({ state }) => hasEnded(state) })
    expect(await runtime.restart(id)).toEqual({ instance_id: id, status: "starting" })
    await reach(id, "running")
  })

  // OVMS-API-168
  test("a stop while it is restarted calls that off", async () => {
    const id = await started(IMAGE, { args: "tick_ms=20" })
    const restarting = refusal(runtime.restart(id, { graceMs: 600_000 }))
    await reach(id, "stopping")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    const error = await restarting
    expect([error.code, error.message]).toEqual([
      "OVM_STATE_CONFLICT",
      expect.stringContaining("was stopped"),
    ])
    await runtime.close()
    runtime = await open()
    expect((await runtime.status(id)).state).toBe("stopped")
    await again(id)
  })

  test("one that is removed while it is restarted is gone, and nothing of it is left", async () => {
    for (const ms of [0, 1, 3, 20, 60, 120]) {
      const id = await started(IMAGE)
      const restarting = runtime.restart(id, { graceMs: 50 }).then(
        ({ status }) => status as string,
        ({ code }) => code as string,
      )
      await Bun.sleep(ms)
      await runtime.remove(id, { force: true })
      // Not that a file of it is missing.
      expect(["starting", "running", "OVM_STATE_CONFLICT"]).toContain(await restarting)
      await until("it is gone", async () => (await runtime.list()).length, { is: (count) => count === 0 })
      expect(existsSync(folder(id))).toBe(false)
      expect(await vmmsBelow(root)).toEqual([])
    }
  })

  test("one that is removed while it is started again is gone", async () => {
    const id = await started(IMAGE)
    await stopped(id)
    const starting = runtime.startAgain(id).catch(() => undefined)
    await runtime.remove(id, { force: true })
    await starting
    await until("it is gone", async () => (await runtime.list()).length, { is: (count) => count === 0 })
    expect(existsSync(folder(id))).toBe(false)
  })
})
