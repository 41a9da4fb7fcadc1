import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { store } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { newKeys } from "../../signing/evidence.ts"
import { attachTimed, newSigstore, type Times, trustedRoot } from "../../signing/sigstore.ts"
import type { Plan } from "../runtime/plan.ts"
import { believed, policyPlan, type Stage, unseen } from "./stage.ts"

// How old an artifact is, and by what that is counted.

const HOUR_MS = 3_600_000
const DAY = { type: "maxAge", hours: 24 }

/** The time so many hours from now; full seconds, which a log counts in. */
const from = (hours: number) => new Date(Math.floor((Date.now() + hours * HOUR_MS) / 1000) * 1000)

async function tooOld(stage: Stage, name: string): Promise<void> {
  const { rules } = await stage.rejects(name)
  const wrong = rules.filter(({ holds }) => !holds).map(({ type }) => type)
  must(wrong.join() === "maxAge", `the rules are ${JSON.stringify(rules)}`)
}

export const policyAgePlans: readonly Plan[] = [
  policyPlan("age", ["OVMS-POL-060", "OVMS-POL-061"], async (stage) => {
    await stage.policy({ default: { requirements: [DAY] } })
    const made = (hours: number) =>
      stage.machine({ document: { metadata: { created: from(hours).toISOString() } } })
    await stage.admits(await made(-1))
    for (const path of [await made(-25), await made(1), await stage.machine({})]) await tooOld(stage, path)
  }),
  policyPlan("age-of-signatures", ["OVMS-POL-060", "OVMS-POL-061"], async (stage) => {
    const { registry, home } = stage
    const [keys, stranger, witnesses, strangers] = [newKeys(), newKeys(), newSigstore(), newSigstore()]
    await writeFile(join(home, "trusted_root.json"), trustedRoot(witnesses))
    const rule = { type: "signed", keys: believed(keys), trustedRoot: "trusted_root.json" }
    await stage.policy({ default: { requirements: [rule, DAY] } })
    const stamped = (hours: number, by = witnesses): Times => ({ stamped: [by.stamper, from(hours)] })
    const logged = (hours: number, by = witnesses): Times => ({ logged: [by.signatures, from(hours)] })
    let count = 0
    /** What was made so long ago and signed at these times, under a new name. */
    const offered = (
      created: number | undefined,
      signed: readonly Times[],
      strange: readonly Times[] = [],
    ) => {
      const metadata = created === undefined ? {} : { created: from(created).toISOString() }
      const tag = `age${++count}`
      const { digest, oci } = store(registry.repository, unseen({ metadata }), tag)
      const subject = { digest, size: oci.length }
      for (const times of strange) attachTimed(registry.repository, subject, stranger, times)
      for (const times of signed) attachTimed(registry.repository, subject, keys, times)
      return registry.reference(tag)
    }
    await stage.admits(offered(-48, [stamped(-1)]))
    await stage.admits(offered(-48, [logged(-1)]))
    await stage.admits(offered(-48, [stamped(-1), stamped(-48)]))
    await stage.admits(offered(undefined, [stamped(-1)]))
    await stage.admits(offered(-1, [{}]))
    await tooOld(stage, offered(-1, [stamped(-25)]))
    await tooOld(stage, offered(-1, [logged(-25), { created: from(-1) }]))
    await tooOld(stage, offered(-1, [stamped(1)]))
    await tooOld(stage, offered(-25, [{ created: from(-1) }]))
    await tooOld(stage, offered(-1, [stamped(-25)], [stamped(-1)]))
    await tooOld(stage, offered(-1, [{ ...stamped(-1), ...logged(-25) }]))
    // Whom the root does not vouch for makes the evidence invalid (OVMS-SIG-062).
    for (const times of [stamped(-1, strangers), logged(-1, strangers)])
      await stage.rejects(offered(-25, [times]))
  }),
]
