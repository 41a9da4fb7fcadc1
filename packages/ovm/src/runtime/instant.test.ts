import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { OvmError } from "../errors.ts"
import { availableVmms } from "../vmm/available.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

let root: string
let runtime: LocalRuntime
/** How many snapshots are still to be of an instant that is none: it is over too soon for a test to meet it. */
let wrong = 0

function unlucky(vmm: Vmm): Vmm {
  return {
    name: vmm.name,
    capabilities: (call) => vmm.capabilities(call),
    check: (plan, call) => vmm.check(plan, call),
    adopt: (record, call) => vmm.adopt(record, call),
    launch: async (plan, call) => {
      const machine: Machine = await vmm.launch(plan, call)
      const take = machine.snapshot?.bind(machine)
      const snapshot: typeof take = async (...args) => {
        if (wrong-- > 0)
          throw new OvmError("OVM_STATE_CONFLICT", "not now", { detail: { requirement: "OVMS-SNP-136" } })
        if (!take) throw new Error("it takes no snapshots")
        return await take(...args)
      }
      return Object.defineProperty(machine, "snapshot", { value: snapshot })
    },
    ...(vmm.loader && { loader: vmm.loader }),
  }
}

/** One whose firmware is through. */
async function running(): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest: "localhost/tests/instant:1" })
  const said = async () => Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
  await until("it ticks", said, { is: (text) => text.includes("TICK") })
  return id
}

// OVMS-SNP-136
describe.skipIf(guestMissing !== "")(`an instant that nobody could go on from ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-instant-"))
    await packGuest(join(root, "store"), "localhost/tests/instant:1", "tick_ms=20")
    runtime = await openRuntime(root, { vmms: availableVmms(join(root, "cache")).map(unlucky) })
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  test.each([false, true])("is left by a guest that runs; stopped afterwards: %p", async (stop) => {
    const id = await running()
    wrong = 3
    const { snapshot_ref } = await runtime.snapshot({ instance_id: id, tag: `s-${stop}`, stop })
    expect(snapshot_ref).toStartWith("sha256:")
    expect(wrong).toBe(-1)
    const state = stop ? "stopped" : "running"
    await until(`it is ${state}`, () => runtime.status(id), { is: (info) => info.state === state })
  })

  test("is told of one that stands still, and of one that never leaves it", async () => {
    const id = await running()
    wrong = 100
    expect((await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))).code).toBe("OVM_STATE_CONFLICT")
    expect(wrong).toBe(90)
    expect((await runtime.status(id)).state).toBe("running")
    await runtime.pause(id)
    expect((await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))).code).toBe("OVM_STATE_CONFLICT")
    expect(wrong).toBe(89)
    wrong = 0
  })
})
