import { must } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import type { Plan } from "../runtime/plan.ts"
import { DIGEST_ONLY, policyPlan, REJECT, type Stage } from "./stage.ts"

const SNAPSHOTS = { default: { ...DIGEST_ONLY, snapshots: "reject" } }

/** A snapshot of the suite's guest on this host: its name. */
async function taken({ runtime, start }: Stage): Promise<string> {
  const id = await start({ manifest: runtime.guest })
  await runtime.says(id, /TICK 3\r?\n/)
  await runtime.ask("POST /snapshot", "", { body: { instance_id: id, tag: "suite" } })
  await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
  return "localhost/conformance:suite"
}

/** Snapshots that the runtime took itself. */
export const policyLocalSnapshotPlans: readonly Plan[] = [
  policyPlan("snapshot-that-the-runtime-chooses", ["OVMS-POL-077"], async (stage) => {
    const { runtime, start, policy } = stage
    await taken(stage)
    const overrides = { resume: true, coldBootOnMismatch: true }
    const went = await start({ manifest: runtime.guest, overrides })
    must(!(await runtime.says(went, /TICK \d+\r?\n/)).includes("GUEST-READY"), "it chose no snapshot at all")
    await policy(SNAPSHOTS)
    const reply = await runtime.raw("POST", "/start", { body: { manifest: runtime.guest, overrides } })
    if (reply.status >= 400) {
      must(
        errorOf("POST /start", reply).code === "OVM_POLICY_REFUSED",
        `it was refused otherwise: ${reply.text}`,
      )
      return
    }
    const text = await runtime.says(JSON.parse(reply.text).instance_id, /TICK \d+\r?\n/)
    must(text.includes("GUEST-READY"), "it chose a snapshot that the policy does not admit")
  }),
  policyPlan("snapshot-in-a-slot", ["OVMS-API-111", "OVMS-POL-080", "OVMS-POL-085"], async (stage) => {
    const { runtime, start, policy, rejects } = stage
    const manifest = await taken(stage)
    const warm = { body: { manifest, slots: 1 } }
    await policy(SNAPSHOTS)
    const reply = await runtime.raw("POST", "/warm", warm)
    must(
      reply.status >= 400 && reply.text.includes("OVM_POLICY_REFUSED"),
      `a slot was made of what is not admitted: ${reply.text}`,
    )
    await policy({ default: DIGEST_ONLY })
    await runtime.ask("POST /warm", "", warm)
    await runtime.until("the slot is there", async () => {
      const { warm: slots } = await runtime.ask<{ warm: readonly { ready?: number }[] }>("GET /info")
      return slots.some(({ ready = 0 }) => ready > 0)
    })
    await policy({ default: REJECT })
    await rejects(manifest, { args: undefined })
    await policy({ default: DIGEST_ONLY })
    await runtime.says(await start({ manifest }), /TICK \d+\r?\n/)
  }),
]
