import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { constants, readdirSync, writeFileSync } from "node:fs"
import { mkdtemp, open as openFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { HeldVmms } from "../held-vmm.testing.ts"
import type { InstanceInfo, Overrides } from "../interfaces.ts"
import type { LocalRuntime } from "../local.ts"
import { openRuntime, packMachines, reached, removeAll } from "../runtime.testing.ts"
import { hasEnded } from "../states.ts"

// Two that are at work on one machine on standby at once, where a slow host has the other one be first.

setDefaultTimeout(240_000)

const GUEST = "guest"

let root: string
let held: HeldVmms
let runtime: LocalRuntime

const open = () => openRuntime(root, { vmms: held.vmms })
const onStandby = ({ state, reason }: InstanceInfo) => state === "paused" && reason === "standby"

const reach = (id: string, what: string, is: (info: InstanceInfo) => boolean) =>
  reached(runtime, id, what, is)

async function rests(overrides: Overrides = {}): Promise<string> {
  const asked = { standbyAfter: 1000, ...overrides }
  const { instance_id: id } = await runtime.start({ manifest: GUEST, overrides: asked })
  await reach(id, "it is on standby", onStandby)
  return id
}

describe.skipIf(guestMissing !== "")(`standby, at once ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-standby-at-once-"))
    await packMachines(root, { [GUEST]: "tick_ms=50" })
    held = new HeldVmms(join(root, "cache"))
    runtime = await open()
  })
  afterEach(() => removeAll(runtime, root))
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-STA-063
  test("whoever talks to one that somebody else is just bringing back is served as well", async () => {
    const id = await rests()
    const resume = held.hold("resume")
    const first = runtime.resume(id)
    await resume.reached
    const second = runtime.resume(id).then(
      ({ status }) => status,
      ({ code }) => code,
    )
    resume.go()
    expect([(await first).status, await second]).toEqual(["running", "running"])
  })

  // OVMS-STA-061
  test("one that is brought back before the next daemon has seen to it is not ended by that", async () => {
    const id = await rests({ standbyAfter: 6000 })
    await runtime.close()
    // To remove what a daemon was writing when it died takes longer than a start.
    for (let n = 0; n < 8_000; n++)
      writeFileSync(join(root, "instances", id, `.ovm-${crypto.randomUUID()}.tmp`), "")
    runtime = await open()
    expect(await runtime.resume(id)).toEqual({ status: "running" })
    const left = () => readdirSync(join(root, "instances", id)).filter((name) => name.startsWith(".ovm-"))
    await until("all is removed", left, { is: (names) => names.length === 0 })
    const info = await reach(id, "it rests or has ended", (now) => onStandby(now) || hasEnded(now.state))
    expect([info.state, info.reason]).toEqual(["paused", "standby"])
  })

  // OVMS-STA-020, OVMS-STA-066
  test("one that is stopped at the last moment before its guest goes on has no machine", async () => {
    const id = await rests()
    // Who writes there waits for somebody who reads.
    const pipe = join(root, "instances", id, "snapshot.held")
    expect(Bun.spawnSync(["mkfifo", pipe]).exitCode).toBe(0)
    const load = held.hold("load")
    const waking = refusal(runtime.resume(id))
    await load.reached
    load.go()
    await Bun.sleep(300)
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    const reader = await openFile(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
    expect((await waking).code).toBe("OVM_STATE_CONFLICT")
    await reader.close()
    await reach(id, "it has ended", ({ state }) => hasEnded(state))
    expect([(await runtime.status(id)).state, await vmmsBelow(root)]).toEqual(["stopped", []])
  })

  // OVMS-STA-066
  test("one that is stopped while it is loaded has stopped once that has gone, and starts again alone", async () => {
    const id = await rests()
    const load = held.hold("load")
    const waking = refusal(runtime.resume(id))
    await load.reached
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    // It would be another machine in the same place.
    expect(await refusal(runtime.startAgain(id))).toMatchObject({ code: "OVM_STATE_CONFLICT" })
    load.go()
    expect((await waking).code).toBe("OVM_STATE_CONFLICT")
    await reach(id, "it has ended", ({ state }) => hasEnded(state))
    expect(await vmmsBelow(root)).toEqual([])
    await runtime.startAgain(id)
    await reach(id, "it runs", ({ state }) => state === "running")
    expect(await vmmsBelow(root)).toHaveLength(1)
  })

  // OVMS-STA-062, OVMS-STA-066
  test("one that is stopped gives its ports back", async () => {
    const id = await rests({ network: { ports: [{ guest: 80 }] } })
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await reach(id, "it has ended", ({ state }) => hasEnded(state))
    expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "starting" })
    await reach(id, "it runs", ({ state }) => state === "running")
  })
})
