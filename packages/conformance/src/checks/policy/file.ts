import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { store } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { attach, newKeys } from "../../signing/evidence.ts"
import type { Plan } from "../runtime/plan.ts"
import { DIGEST_ONLY, policyPlan, REJECT } from "./stage.ts"

interface Info {
  readonly policy: { readonly active: boolean; readonly error?: { readonly code: string } }
}

export const policyFilePlans: readonly Plan[] = [
  policyPlan("invalid", ["OVMS-POL-006", "OVMS-CNF-032"], async ({ runtime, policy, refusal, registry }) => {
    const { kernel } = store(registry.repository, guestArtifact(Buffer.from(registry.host)), "1")
    const info = () => runtime.ask<Info>("GET /info")
    must(!(await info()).policy.active, "there is a policy before the suite has written one")
    for (const text of ["{", '{"schemaVersion": 1, "defualt": {}}']) {
      await policy(text)
      for (const manifest of [runtime.guest, registry.reference("1")]) {
        const error = await refusal(manifest)
        must(error?.code === "OVM_POLICY_INVALID", `under a broken policy a start ended with ${error?.code}`)
      }
      const { error } = (await info()).policy
      must(error?.code === "OVM_POLICY_INVALID", "GET /info does not say that the policy is broken")
    }
    must(registry.asked(/GET/, digestOf(kernel)).length === 0, "under a broken policy it pulled a kernel")
  }),
  policyPlan(
    "key-files",
    ["OVMS-POL-037", "OVMS-POL-008", "OVMS-POL-030"],
    async ({ policy, refusal, rejects, admits, registry, home }) => {
      const artifact = store(registry.repository, guestArtifact(), "1")
      const [keys, others] = [newKeys(), newKeys()]
      attach(registry.repository, { digest: artifact.digest, size: artifact.oci.length }, keys)
      await mkdir(join(home, "keys"))
      const file = join(home, "keys/one.pub")
      await policy({ default: { requirements: [{ type: "signed", keys: [{ path: "keys/one.pub" }] }] } })
      const invalid = async (what: string) => {
        const error = await refusal(registry.reference("1"))
        must(error?.code === "OVM_POLICY_INVALID", `with ${what} a start ended with ${error?.code}`)
      }
      await invalid("a key file that is not there")
      await writeFile(file, "no key\n")
      await invalid("a key file that has no key")
      await writeFile(file, keys.publicPem)
      await admits(registry.reference("1"))
      await writeFile(file, others.publicPem)
      await rejects(registry.reference("1"))
    },
  ),
  policyPlan(
    "changed-meanwhile",
    ["OVMS-POL-008", "OVMS-POL-021", "OVMS-POL-022", "OVMS-POL-023"],
    async ({ policy, rejects, admits, runtime }) => {
      await admits(runtime.guest)
      await policy({ default: REJECT })
      await rejects(runtime.guest)
      await policy({ default: DIGEST_ONLY })
      await admits(runtime.guest)
      const both = { requirements: [...DIGEST_ONLY.requirements, ...REJECT.requirements] }
      await policy({ default: both })
      await rejects(runtime.guest)
    },
  ),
  policyPlan(
    "whoever-asks",
    ["OVMS-API-029", "OVMS-POL-009", "OVMS-POL-080", "OVMS-POL-086", "OVMS-SEC-006"],
    async ({ policy, rejects, runtime }) => {
      const { digest } = guestArtifact()
      await policy({ default: REJECT })
      const wishes = [
        {},
        { memory: 64 << 20 },
        { coldBootOnMismatch: true },
        { resume: false },
        { name: "trusted" },
      ]
      for (const wish of wishes) {
        const decision = await rejects(runtime.guest, wish)
        must(decision.digest === digest, `digest of the decision is ${decision.digest}`)
        must(decision.reference.includes(runtime.guest), `reference of the decision is ${decision.reference}`)
        const [rule, ...more] = decision.rules
        must(rule && more.length === 0, `${decision.rules.length} rules were judged, and not one`)
        must(rule.pointer === "/default/requirements/0", `pointer of the rule is ${rule.pointer}`)
        must(
          rule.type === "reject" && rule.digest === digest && rule.holds === false && rule.reason,
          `the rule is ${JSON.stringify(rule)}`,
        )
      }
      const { instances } = await runtime.ask<{ instances: readonly object[] }>("GET /instances")
      must(instances.length === 0, "what the policy refused left an instance")
    },
  ),
  policyPlan("platforms", ["OVMS-POL-024", "OVMS-POL-013"], async ({ policy, rejects, admits, runtime }) => {
    const only = (...allowed: string[]) => ({ requirements: [{ type: "platforms", allowed }] })
    await policy({ default: REJECT, local: only("linux/amd64", "linux/arm64") })
    await admits(runtime.guest)
    await policy({ default: DIGEST_ONLY, local: only("linux/arm64") })
    const { rules, scope } = await rejects(runtime.guest)
    must(rules.length === 1 && rules[0]?.type === "platforms", `the rules are ${JSON.stringify(rules)}`)
    must(scope === "local", `the scope is ${scope}, and not local`)
  }),
]
