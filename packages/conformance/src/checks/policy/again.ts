import { setTimeout } from "node:timers/promises"
import { type Artifact, store } from "../../artifact/make.ts"
import { must, skip } from "../../check.ts"
import { attach, newKeys } from "../../signing/evidence.ts"
import { harnessOf, type Plan } from "../runtime/plan.ts"
import { believed, policyPlan, type Stage, unseen } from "./stage.ts"

// What is decided a second time.

const HOUR_MS = 3_600_000
/** How long the age that is allowed has still to go when it is first asked, and how long it is waited for. */
const LEFT_MS = 20_000

/** A machine that nobody has had before, under the tag 1. */
function offered({ registry }: Stage, document: object = {}): Artifact {
  return store(registry.repository, unseen(document), "1")
}

export const policyAgainPlans: readonly Plan[] = [
  policyPlan("refusal-not-remembered", ["OVMS-POL-084"], async (stage) => {
    const keys = newKeys()
    const name = stage.registry.reference("1")
    await stage.policy({ default: { requirements: [{ type: "signed", keys: believed(keys) }] } })
    const { digest, oci } = offered(stage)
    await stage.rejects(name)
    attach(stage.registry.repository, { digest, size: oci.length }, keys)
    await stage.admits(name)
  }),
  {
    ...policyPlan("admission-not-for-ever", ["OVMS-POL-084", "OVMS-POL-060"], async (stage) => {
      const name = stage.registry.reference("1")
      await stage.policy({ default: { requirements: [{ type: "maxAge", hours: 1 }] } })
      const until = Date.now() + LEFT_MS
      offered(stage, { metadata: { created: new Date(until - HOUR_MS).toISOString() } })
      for (const _ of ["first", "once it is remembered"]) {
        const early = await stage.refusal(name)
        if (Date.now() >= until) skip("this host is too slow to start a machine twice within that time")
        must(early === undefined, `what was made less than an hour ago is refused: ${early?.code}`)
      }
      await setTimeout(until - Date.now() + 1000, undefined, { signal: stage.signal })
      await stage.rejects(name)
    }),
    waits: true,
  },
  policyPlan("without-the-registry", ["OVMS-POL-083", "OVMS-POL-087"], async (stage) => {
    const { registry, runtime, signal } = stage
    const keys = newKeys()
    await stage.policy({ default: { requirements: [{ type: "signed", keys: believed(keys) }] } })
    const { digest, oci } = offered(stage)
    attach(registry.repository, { digest, size: oci.length }, keys)
    await stage.admits(registry.reference("1"))
    registry.manners.fault = (_, response) => {
      response.writeHead(503, { "content-length": 0 }).end()
      return true
    }
    // What it remembers is gone with it; what it has stored is not.
    const harness = harnessOf(runtime)
    await harness.kill()
    await harness.start(signal)
    const error = await stage.refusal(registry.reference("1"))
    if (error?.code.startsWith("OVM_REGISTRY_"))
      skip("the runtime asks for a name in its registry each time, also where it has what it stood for")
    must(error === undefined, `without the registry it is refused with ${error?.code}: ${error?.message}`)
  }),
]
