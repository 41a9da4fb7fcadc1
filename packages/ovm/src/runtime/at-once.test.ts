import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { OvmError } from "../errors.ts"
import { HeldVmms } from "./held-vmm.testing.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { killVmm, openRuntime, packMachines, reached, removeAll } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Two that are at work on one instance at once, where a slow host has the other one be first.

setDefaultTimeout(240_000)

const STEADY = "steady"
const PANIC = "panic"

let root: string
let held: HeldVmms
let runtime: LocalRuntime

const open = () => openRuntime(root, { vmms: held.vmms })
const folder = (id: string) => join(root, "instances", id)
const runs = ({ state }: InstanceInfo) => state === "running"
const over = ({ state }: InstanceInfo) => hasEnded(state)

const reach = (id: string, what: string, is: (info: InstanceInfo) => boolean) =>
  reached(runtime, id, what, is)

async function started(): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest: STEADY })
  await reach(id, "it runs", runs)
  return id
}

const kill = (id: string) => killVmm(root, id)

describe.skipIf(guestMissing !== "")(`at once ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-at-once-"))
    await packMachines(root, { [STEADY]: "tick_ms=20 button=1", [PANIC]: "tick_ms=5 ticks=2 panic=1" })
    held = new HeldVmms(join(root, "cache"))
    runtime = await open()
  })
  afterEach(() => removeAll(runtime, root))
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-168
  test("a stop while it is looked at whether a restart can be is the last word", async () => {
    const id = await started()
    const check = held.hold("check")
    const restarting = refusal(runtime.restart(id, { graceMs: 0 }))
    await check.reached
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await reach(id, "it has ended", over)
    check.go()
    expect((await restarting).code).toBe("OVM_STATE_CONFLICT")
    expect((await runtime.status(id)).state).toBe("stopped")
  })

  test("one that is removed while it is looked at whether a restart can be is not there again", async () => {
    const id = await started()
    const check = held.hold("check")
    const restarting = refusal(runtime.restart(id, { graceMs: 0 }))
    await check.reached
    await runtime.remove(id, { force: true })
    check.go()
    expect((await restarting).code).toBe("OVM_STATE_CONFLICT")
    expect(await runtime.list()).toEqual([])
  })

  // OVMS-STA-028
  test("one that ends as soon as its snapshot is taken has the disk that the snapshot has left it", async () => {
    const id = await started()
    const taken = held.hold("snapshot")
    const answer = runtime.snapshot({ instance_id: id, tag: "last" })
    await taken.reached
    await kill(id)
    await reach(id, "it has ended", over)
    taken.go()
    await answer
    expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "starting" })
    await reach(id, "it runs", runs)
  })

  // OVMS-API-165
  test("one that ended while no daemon was there is started, also before its end is found", async () => {
    const id = await started()
    await runtime.close()
    await kill(id)
    await until("nothing runs", async () => (await vmmsBelow(root)).length === 0)
    const adopt = held.hold("adopt")
    runtime = await open()
    await adopt.reached
    const asked = runtime.startAgain(id)
    adopt.go()
    expect(await asked).toEqual({ instance_id: id, status: "starting" })
    await reach(id, "it runs", runs)
  })

  // OVMS-STA-040
  test("a first start that a daemon's end cancels is its policy's to go on with", async () => {
    const launch = held.hold("launch")
    const { instance_id: id } = await runtime.start({ manifest: STEADY, overrides: { restart: "always" } })
    await launch.reached
    const closing = runtime.close()
    launch.go()
    await closing
    runtime = await open()
    await reach(id, "it runs", runs)
  })

  // OVMS-STA-069
  test("a stop of one that waits to be started again outlives a crash of the host", async () => {
    const { instance_id: id } = await runtime.start({ manifest: PANIC, overrides: { restart: "always" } })
    await reach(id, "it waits", ({ restarts = 0, restarting_at }) => restarts >= 3 && Boolean(restarting_at))
    const synced: string[] = []
    const files = process.getBuiltinModule("node:fs/promises")
    const { open: really } = files
    using _ = spyOn(files, "open").mockImplementation(async (path, ...how) => {
      synced.push(String(path))
      return await really(path, ...how)
    })
    await runtime.stop({ instance_id: id })
    expect(synced).toContain(join(folder(id), "instance.json"))
  })

  test("a removal of one whose slot does not go on is answered", async () => {
    const id = await started()
    await runtime.snapshot({ instance_id: id, tag: "warm" })
    const manifest = `${STEADY}:warm`
    await runtime.warm({ manifest, slots: 1 })
    const resume = held.hold("resume")
    const starting = runtime.start({ manifest })
    await resume.reached
    const [taken] = (await runtime.list()).filter(({ instance_id }) => instance_id !== id)
    let answer: string | undefined
    runtime.remove(taken?.instance_id ?? "", { force: true }).then(
      () => {
        answer = "removed"
      },
      ({ code }) => {
        answer = code
      },
    )
    resume.fail(new OvmError("OVM_VMM_FAILED", "it does not go on"))
    expect((await starting).instance_id).not.toBe(taken?.instance_id ?? "")
    expect(await until("it is answered", () => answer, { deadlineMs: 30_000 })).toBe("OVM_INSTANCE_UNKNOWN")
    await runtime.warm({ manifest, slots: 0 })
  })
})
