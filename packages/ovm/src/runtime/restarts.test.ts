import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { existsSync, writeFileSync } from "node:fs"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { OvmError } from "../errors.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { killVmm, openRuntime, packMachines, reached, removeAll } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

/** Goes on until it is ended; powers off, resets, panics by itself. */
const IMAGES = {
  steady: "tick_ms=20 button=1",
  off: "tick_ms=5 ticks=2 off=1",
  reset: "tick_ms=5 ticks=2",
  panic: "tick_ms=5 ticks=2 panic=1",
  result: "tick_ms=5 ticks=2 result=3",
  "slow-reset": "tick_ms=20 ticks=150",
  "slow-off": "tick_ms=20 ticks=150 off=1",
} as const

let root: string
let runtime: LocalRuntime
const folder = (id: string) => join(root, "instances", id)

async function open(fault?: OvmError): Promise<LocalRuntime> {
  return openRuntime(root, fault && { fault })
}

async function started(image: keyof typeof IMAGES, restart: string): Promise<string> {
  return (await runtime.start({ manifest: image, overrides: { restart } })).instance_id
}

const reach = (id: string, what: string, is: (info: InstanceInfo) => boolean) =>
  reached(runtime, id, what, is)

const runs = ({ state }: InstanceInfo) => state === "running"
const over = (info: InstanceInfo) => hasEnded(info.state) && info.restarting_at === undefined
const waits = ({ restarting_at }: InstanceInfo) => restarting_at !== undefined
const again =
  (count: number) =>
  ({ restarts = 0 }: InstanceInfo) =>
    restarts >= count

const kill = (id: string) => killVmm(root, id)

/** As if the host had been restarted, with the instance as it is on record. */
async function reboot(...ids: string[]): Promise<void> {
  await runtime.close()
  for (const id of ids) {
    await kill(id).catch(() => {})
    const file = join(folder(id), "instance.json")
    const record = JSON.parse(await readFile(file, "utf8"))
    if (record.machine) record.machine.bootId = "another"
    await writeFile(file, JSON.stringify(record))
  }
  await until("nothing runs", async () => (await vmmsBelow(root)).length === 0)
  runtime = await open()
}

describe.skipIf(guestMissing !== "")(`restart policies ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-restarts-"))
    await packMachines(root, IMAGES)
    runtime = await open()
  })
  afterEach(() => removeAll(runtime, root))
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-STA-040, OVMS-STA-031, OVMS-STA-043
  test.each([
    ["no", "reset", 0],
    ["no", "panic", 0],
    ["on-failure:2", "off", 0],
    ["on-failure:2", "panic", 2],
    ["on-failure:2", "reset", 2],
    ["no", "result", 0],
    ["on-failure:1", "result", 1],
  ] as const)("%s: one that ends by %s is started again %d times", async (restart, image, count) => {
    const id = await started(image, restart)
    const info = await reach(id, "it has ended for good", over)
    expect(info.restarts ?? 0).toBe(count)
    expect(info.restart).toBe(restart === "no" ? undefined : restart)
    // Somebody's own start counts anew.
    if (count === 0) return
    await runtime.startAgain(id)
    // At once: it does not run for long.
    expect((await runtime.status(id)).restarts).toBeUndefined()
    expect((await reach(id, "it has ended for good", over)).restarts).toBe(count)
  })

  test.each(["always", "unless-stopped"])(
    "%s: also after it powered off, ever more slowly",
    async (restart) => {
      const began = performance.now()
      const id = await started("off", restart)
      await reach(id, "it has been started again", again(3))
      // 100, 200 and 400 ms.
      expect(performance.now() - began).toBeGreaterThan(700)
      await reach(id, "it waits", waits)
      expect(await runtime.stop({ instance_id: id })).toEqual({ status: "stopped" })
      const info = await runtime.status(id)
      expect(info).toMatchObject({ state: "stopped", stop_method: "already" })
      expect(info.restarting_at).toBeUndefined()
      await Bun.sleep(1200)
      expect((await runtime.status(id)).restarts).toBe(info.restarts ?? 0)
    },
  )

  // OVMS-STA-040
  test("a stop is no failure, and one that was killed from outside is", async () => {
    const id = await started("steady", "always")
    await reach(id, "it runs", runs)
    await runtime.stop({ instance_id: id })
    expect((await reach(id, "it has ended", ({ state }) => hasEnded(state))).restarting_at).toBeUndefined()
    await Bun.sleep(300)
    expect((await runtime.status(id)).state).toBe("stopped")
    await runtime.startAgain(id)
    await reach(id, "it runs", runs)
    await kill(id)
    await reach(id, "it runs again", (info) => runs(info) && info.restarts === 1)
    await runtime.restart(id, { graceMs: 0 })
    expect((await reach(id, "it runs", runs)).restarts).toBeUndefined()
  })

  // OVMS-STA-042
  test("while it waits it is what it is: a snapshot is refused, a start is done at once, a removal is the end", async () => {
    const id = await started("panic", "always")
    await reach(id, "it has been started again", again(4))
    const info = await reach(id, "it waits", waits)
    expect(info.state).toBe("failed")
    for (const refused of [runtime.snapshot({ instance_id: id, tag: "s" }), runtime.pause(id)])
      expect((await refusal(refused)).code).toBe("OVM_STATE_CONFLICT")
    await runtime.rename(id, { name: "waiting" })
    expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "starting" })
    await reach(id, "it waits", waits)
    await runtime.remove(id)
    await Bun.sleep(500)
    expect(existsSync(folder(id))).toBe(false)
    expect(await runtime.list()).toEqual([])
  })

  test("whenever it is removed or stopped by force, it stays so", async () => {
    for (const ms of [0, 30, 80, 110, 150, 200]) {
      const [gone, stopped] = await Promise.all([started("reset", "always"), started("reset", "always")])
      await Bun.sleep(ms)
      await runtime.remove(gone, { force: true })
      await runtime.stop({ instance_id: stopped, grace_ms: 0 })
      await reach(stopped, "it has ended", ({ state }) => hasEnded(state))
      await Bun.sleep(250)
      expect(existsSync(folder(gone))).toBe(false)
      expect(over(await runtime.status(stopped))).toBe(true)
      expect(await vmmsBelow(root)).toEqual([])
      await runtime.remove(stopped)
    }
  })

  // OVMS-STA-040
  test("one that ends by itself while its stop is being written down stays stopped", async () => {
    const id = await started("steady", "always")
    await reach(id, "it runs", runs)
    const files = process.getBuiltinModule("node:fs/promises")
    const { open: really } = files
    using _ = spyOn(files, "open").mockImplementation(async (path, ...how) => {
      const file = await really(path, ...how)
      const sync = file.sync.bind(file)
      spyOn(file, "sync").mockImplementation(async () => {
        await Bun.sleep(300)
        await sync()
      })
      return file
    })
    const stop = runtime.stop({ instance_id: id, grace_ms: 60_000 })
    await reach(id, "it is being stopped", ({ state }) => state === "stopping")
    await kill(id)
    await stop
    const info = await reach(id, "it has ended", ({ state }) => hasEnded(state))
    expect([info.state, info.stop_method, info.restarting_at]).toEqual(["stopped", "already", undefined])
    await runtime.remove(id)
  })

  // OVMS-API-167
  test("a restart that a daemon's end has cut off is not its policy's", async () => {
    const id = await started("steady", "always")
    await reach(id, "it runs", runs)
    await runtime.close()
    await kill(id)
    const file = join(folder(id), "instance.json")
    const { machine: _, ...record } = JSON.parse(await readFile(file, "utf8"))
    const { started: __, ...info } = record.info
    await writeFile(file, JSON.stringify({ ...record, again: true, info: { ...info, state: "starting" } }))
    await until("nothing runs", async () => (await vmmsBelow(root)).length === 0)
    // To remove what snapshots left takes longer than the policy waits.
    for (let n = 0; n < 10_000; n++) writeFileSync(join(folder(id), `snapshot-${n}.ram`), "")
    runtime = await open()
    const now = await reach(id, "it runs again", runs)
    expect([now.restarts, now.restarting_at]).toEqual([undefined, undefined])
    await runtime.remove(id, { force: true })
  })

  // OVMS-STA-040, OVMS-STA-041
  test("a start that is refused is tried again, and counts", async () => {
    const [id, other] = await Promise.all([started("steady", "on-failure:3"), started("steady", "always")])
    for (const one of [id, other]) await reach(one, "it runs", runs)
    const policy = join(root, "policy.json")
    await writeFile(policy, '{"schemaVersion":1,"default":{"rule":"reject"}}')
    for (const one of [id, other]) await kill(one)
    const info = await reach(id, "it is given up", (now) => over(now) && again(3)(now))
    expect(info.error?.code).toMatch(/^OVM_POLICY/)
    await reach(other, "it is tried", again(2))
    await rm(policy)
    expect((await reach(other, "it runs", runs)).error).toBeUndefined()
  })

  // OVMS-STA-040
  test("after the host was restarted", async () => {
    const policies = ["no", "on-failure", "unless-stopped", "always"]
    const running = await Promise.all(policies.map((one) => started("steady", one)))
    const stopped = await Promise.all(policies.map((one) => started("steady", one)))
    for (const id of [...running, ...stopped]) await reach(id, "it runs", runs)
    for (const id of stopped) await runtime.stop({ instance_id: id, grace_ms: 0 })
    for (const id of stopped) await reach(id, "it has ended", ({ state }) => hasEnded(state))
    const { instance_id: made } = await runtime.create({
      manifest: "steady",
      overrides: { restart: "always" },
    })
    await reboot(...running, ...stopped, made)
    for (const id of [...running.slice(1), ...stopped.slice(3)]) await reach(id, "it runs", runs)
    await Bun.sleep(300)
    for (const id of [...running.slice(0, 1), ...stopped.slice(0, 3), made])
      expect(over(await runtime.status(id))).toBe(true)
    // Another daemon alone is no other host.
    const always = stopped[3] ?? ""
    await runtime.stop({ instance_id: always, grace_ms: 0 })
    await reach(always, "it has ended", ({ state }) => hasEnded(state))
    await runtime.close()
    runtime = await open()
    await Bun.sleep(300)
    expect(over(await runtime.status(always))).toBe(true)
  })

  // OVMS-STA-040
  test("on-failure: one that reset while no daemon was there is started again, one that powered off is not", async () => {
    const [reset, off] = await Promise.all([
      started("slow-reset", "on-failure:1"),
      started("slow-off", "on-failure:1"),
    ])
    // Each for some seconds only.
    await Promise.all([reset, off].map((id) => reach(id, "it runs", runs)))
    await runtime.close()
    await until("both have ended", async () => (await vmmsBelow(root)).length === 0)
    runtime = await open()
    expect(await reach(off, "it has ended", over)).toMatchObject({ exit: { reason: "guest-shutdown" } })
    await reach(reset, "it is started again", again(1))
    expect(await reach(reset, "it has ended for good", over)).toMatchObject({
      exit: { reason: "guest-reset" },
    })
    expect((await runtime.status(off)).restarts).toBeUndefined()
  })

  test("what ended, or waited, while no daemon was there is started by the next one", async () => {
    const [ended, waiting] = await Promise.all([started("steady", "on-failure"), started("panic", "always")])
    await reach(ended, "it runs", runs)
    await reach(waiting, "it has been started again", again(4))
    await reach(waiting, "it waits", waits)
    await runtime.close()
    await kill(ended)
    runtime = await open()
    await reach(ended, "it runs again", (info) => runs(info) && info.restarts === 1)
    await reach(waiting, "it has been started again", again(5))
  })

  test("nothing is started by itself while the operator's settings are wrong, and all of it afterwards", async () => {
    const id = await started("steady", "always")
    await reach(id, "it runs", runs)
    await runtime.close()
    await kill(id)
    await until("nothing runs", async () => (await vmmsBelow(root)).length === 0)
    runtime = await open(new OvmError("OVM_SETTINGS_INVALID", "daemon.json: limits: it is not an object"))
    const refused = await reach(id, "it is refused", ({ error }) => error?.code === "OVM_SETTINGS_INVALID")
    expect([refused.state, await vmmsBelow(root)]).toEqual(["failed", []])
    await runtime.close()
    runtime = await open()
    await reach(id, "it runs again", runs)
  })
})
