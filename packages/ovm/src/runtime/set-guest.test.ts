import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import { availableVmms } from "../vmm/available.ts"
import { type Identity, isSuspended, startedIn } from "../vmm/process/identity.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(120_000)

let root: string
let runtime: LocalRuntime

/** Its VMM is stopped as soon as it is told to pause or resume: it does not answer. */
function deaf(vmm: Vmm): Vmm {
  const launch: Vmm["launch"] = async (plan, call) => {
    const machine = await vmm.launch(plan, call)
    const told = (verb: "pause" | "resume") => {
      const work = machine[verb].bind(machine)
      return () => {
        process.kill(machine.record.pid, "SIGSTOP")
        return work()
      }
    }
    return Object.assign(machine, { pause: told("pause"), resume: told("resume") })
  }
  return Object.assign(Object.create(vmm), { launch })
}

/** One that is told to, and has not answered; and what becomes of that. */
async function told(verb: "pause" | "resume") {
  const { instance_id: id } = await runtime.start({ manifest: "steady" })
  await until("it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
  const vmm = (await startedIn(join(root, "instances", id))) as Identity
  const refused = refusal(runtime[verb](id))
  await until("its VMM is stopped", () => isSuspended(vmm))
  return { id, pid: vmm.pid, refused }
}

describe.skipIf(guestMissing !== "")(`a guest that is told to stand still or go on ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-set-guest-"))
    await packGuest(join(root, "store"), "steady:latest", "tick_ms=50")
    runtime = await openRuntime(root, { vmms: availableVmms(join(root, "cache")).map(deaf) })
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-141
  test.each(["pause", "resume"] as const)(
    "%s: one that is stopped, or ends, before it has answered is refused as one that has ended",
    async (verb) => {
      const stopped = await told(verb)
      await runtime.stop({ instance_id: stopped.id, grace_ms: 0 })
      expect(await stopped.refused).toMatchObject({ code: "OVM_STATE_CONFLICT" })

      const killed = await told(verb)
      process.kill(killed.pid, "SIGKILL")
      expect(await killed.refused).toMatchObject({ code: "OVM_STATE_CONFLICT", detail: { state: "failed" } })
      await until("both have ended", () => runtime.list(), {
        is: (all) => all.every(({ state }) => hasEnded(state)),
      })
    },
  )
})
