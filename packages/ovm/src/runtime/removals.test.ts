import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { killVmm, openRuntime, packMachines, reached, removeAll } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const LINGER_MS = 5000

let root: string
let runtime: LocalRuntime
const folder = (id: string) => join(root, "instances", id)

async function started(manifest: string, overrides: Overrides = {}): Promise<string> {
  return (await runtime.start({ manifest, overrides: { autoRemove: true, ...overrides } })).instance_id
}

const reach = (id: string, what: string, is: (info: InstanceInfo) => boolean) =>
  reached(runtime, id, what, is)

const runs = ({ state }: InstanceInfo) => state === "running"
const over = ({ state }: InstanceInfo) => hasEnded(state)
const isThere = async (id: string) => (await runtime.list()).some(({ instance_id }) => instance_id === id)
const gone = async (id: string) => {
  await until("it is removed", () => isThere(id), { is: (there) => !there })
  expect(existsSync(folder(id))).toBe(false)
}

const kill = (id: string) => killVmm(root, id)

describe.skipIf(guestMissing !== "")(`instances that are removed by themselves ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-removals-"))
    await packMachines(root, { steady: "tick_ms=20 button=1", off: "tick_ms=5 ticks=2 off=1" })
    runtime = await openRuntime(root)
  })
  afterEach(() => removeAll(runtime, root))
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-STA-044, OVMS-STA-045, OVMS-API-184
  test("are there for a while after their end, and then nothing of them is", async () => {
    const id = await started("off")
    const ended = await reach(id, "it has ended", over)
    expect(ended).toMatchObject({ auto_remove: true, state: "stopped" })
    expect(Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()).toContain("TICK 2")
    await gone(id)
    expect(Date.now() - Date.parse(ended.finished ?? "")).toBeGreaterThanOrEqual(LINGER_MS - 50)
    const told = await Array.fromAsync(await runtime.events())
    expect(told.filter((one) => one.instance_id === id).at(-1)?.type).toBe("removed")
  })

  // OVMS-STA-045
  test("are there for as long as somebody follows their console", async () => {
    const id = await started("off")
    const bytes = (await runtime.logs(id, { follow: true }))[Symbol.asyncIterator]()
    await bytes.next()
    const { finished = "" } = await reach(id, "it has ended", over)
    await until("twice that time has passed", async () => Date.now() - Date.parse(finished), {
      is: (ms) => ms > 2 * LINGER_MS,
    })
    expect(await isThere(id)).toBe(true)
    while (!(await bytes.next()).done);
    await gone(id)
  })

  // OVMS-STA-044
  test("go as well where no daemon saw their end, and only then", async () => {
    const ended = await started("steady")
    const lives = await started("steady")
    await reach(ended, "it runs", runs)
    await reach(lives, "it runs", runs)
    await runtime.close()
    await kill(ended)
    await until("one is left", () => vmmsBelow(root), { is: (all) => all.length === 1 })
    runtime = await openRuntime(root)
    await gone(ended)
    expect(await runtime.status(lives)).toMatchObject({ state: "running", auto_remove: true })
    await kill(lives)
    expect((await reach(lives, "it has failed", over)).state).toBe("failed")
    await gone(lives)
  })

  // OVMS-STA-044
  test("go after their last life, and not before their first one", async () => {
    const { instance_id: id } = await runtime.create({ manifest: "off", overrides: { autoRemove: true } })
    await Bun.sleep(LINGER_MS + 1000)
    expect(await runtime.status(id)).toMatchObject({ state: "stopped", auto_remove: true })
    await runtime.startAgain(id)
    const first = await reach(id, "it has ended", ({ finished }) => finished !== undefined)
    await runtime.startAgain(id)
    const second = await reach(
      id,
      "it has ended again",
      ({ finished }) => (finished ?? "") > (first.finished ?? ""),
    )
    expect(second.auto_remove).toBe(true)
    await gone(id)
  })

  // OVMS-STA-046
  test("leave their name to whoever wants it", async () => {
    const before = await started("steady", { name: "web" })
    expect((await refusal(started("off", { name: "web" }))).code).toBe("OVM_NAME_IN_USE")
    // It is there until the next one is, however long that takes.
    const bytes = (await runtime.logs(before, { follow: true }))[Symbol.asyncIterator]()
    await bytes.next()
    await runtime.stop({ instance_id: before, grace_ms: 0 })
    await reach(before, "it has ended", over)
    const now = await started("steady", { name: "web" })
    expect((await runtime.status(now)).name).toBe("web")
    expect((await runtime.status(before)).name).toBe(before)
    while (!(await bytes.next()).done);
    await gone(before)
    expect(await isThere(now)).toBe(true)
  })

  // OVMS-API-183
  test("are not started again by themselves", async () => {
    const refused = await refusal(started("off", { restart: "on-failure:2" }))
    expect([refused.code, refused.message]).toEqual([
      "OVM_REQUEST_INVALID",
      expect.stringContaining("overrides.autoRemove"),
    ])
    expect(await runtime.list()).toEqual([])
    const id = await started("off", { restart: "no" })
    await reach(id, "it has ended", over)
    await gone(id)
  })
})
