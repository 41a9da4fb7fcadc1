import { guestArtifact } from "../../artifact/guest.ts"
import { type Artifact, store } from "../../artifact/make.ts"
import { snapshotOf } from "../../artifact/snapshot.ts"
import { must } from "../../check.ts"
import { attach, type Keys, newKeys } from "../../signing/evidence.ts"
import { vmmNames } from "../../subject/vmms.ts"
import type { Plan } from "../runtime/plan.ts"
import { policyPlan, type Stage } from "./stage.ts"

interface Offer {
  readonly base?: Keys
  readonly snapshot?: Keys
  /** What the signature of the base says that it was made for. */
  readonly baseReference?: string
  readonly baseCreated?: Date
  readonly snapshotCreated?: Date
}

let offers = 0

/** A snapshot of no machine that ever ran, and its base, each signed by whoever is said; its name. */
async function offered({ registry, runtime }: Stage, offer: Offer): Promise<{ name: string; base: string }> {
  const tag = `snapshot${offers++}`
  const [name] = await vmmNames(runtime)
  const created = (offer.baseCreated ?? new Date()).toISOString()
  const base = guestArtifact(Buffer.from(`${registry.host}${tag}`), { document: { metadata: { created } } })
  const document = { created: (offer.snapshotCreated ?? new Date()).toISOString() }
  const snapshot = snapshotOf(base, { vmm: { name }, document })
  store(registry.repository, snapshot, tag)
  registry.repository.tags.set(`${tag}-base`, base.digest)
  const sign = ({ digest, oci }: Artifact, keys: Keys | undefined, reference?: string) => {
    if (keys)
      attach(
        registry.repository,
        { digest, size: oci.length },
        keys,
        reference === undefined ? {} : { reference },
      )
  }
  const repository = registry.reference("1").slice(0, -2)
  sign(base, offer.base, offer.baseReference && `${repository}:${offer.baseReference}`)
  sign(snapshot, offer.snapshot, offer.baseReference && `${repository}:${tag}`)
  return { name: registry.reference(tag), base: registry.reference(`${tag}-base`) }
}

const signedBy = (...keys: readonly Keys[]) => ({
  type: "signed",
  keys: keys.map(({ publicPem }) => ({ pem: publicPem })),
})

/** What goes on has no arguments any more. */
const GOES_ON = { args: undefined }

function snapshotPolicy(name: string, covers: readonly string[], run: (stage: Stage) => Promise<void>): Plan {
  const resumed = (stage: Stage): Stage => ({
    ...stage,
    admits: (manifest) => stage.admits(manifest, GOES_ON),
    rejects: (manifest) => stage.rejects(manifest, GOES_ON),
  })
  return policyPlan(`snapshot-${name}`, covers, (stage) => run(resumed(stage)))
}

export const policySnapshotPlans: readonly Plan[] = [
  snapshotPolicy("and-its-base", ["OVMS-POL-070", "OVMS-POL-071"], async (stage) => {
    const keys = newKeys()
    await stage.policy({ default: { requirements: [signedBy(keys)] } })
    await stage.admits((await offered(stage, { base: keys, snapshot: keys })).name)
    await stage.rejects((await offered(stage, { snapshot: keys })).name)
    await stage.rejects((await offered(stage, { base: keys })).name)
  }),
  snapshotPolicy("signed", ["OVMS-POL-072"], async (stage) => {
    const [keys, others] = [newKeys(), newKeys()]
    const attested = {
      ...signedBy(keys),
      type: "attested",
      predicateType: "https://example.com/tested/v1",
    }
    const rules = { requirements: [signedBy(keys, others), { type: "platforms", allowed: ["linux/amd64"] }] }
    await stage.policy({ default: { ...rules, snapshots: "signed" } })
    await stage.admits((await offered(stage, { base: keys, snapshot: others })).name)
    const { rules: judged } = await stage.rejects((await offered(stage, { base: keys })).name)
    must(
      judged.some(({ type, holds }) => type === "signed" && !holds),
      "no rule of the type signed failed",
    )
    // What is attested is asked of the base alone.
    const asks = { requirements: [signedBy(keys), attested], snapshots: "signed" }
    await stage.policy({ default: asks })
    const offer = await offered(stage, { base: keys, snapshot: keys })
    const failed = (await stage.rejects(offer.name)).rules.filter(({ holds }) => !holds)
    must(
      failed.length === 1 && failed[0]?.type === "attested",
      `of the snapshot ${failed.length} rules failed`,
    )
  }),
  snapshotPolicy("same-signer", ["OVMS-POL-073"], async (stage) => {
    const [keys, others] = [newKeys(), newKeys()]
    await stage.policy({ default: { requirements: [signedBy(keys, others)], snapshots: "sameSignerAsBase" } })
    await stage.admits((await offered(stage, { base: keys, snapshot: keys })).name)
    await stage.rejects((await offered(stage, { base: keys, snapshot: others })).name)
    await stage.rejects((await offered(stage, { base: keys })).name)
  }),
  snapshotPolicy("rejected", ["OVMS-POL-075"], async (stage) => {
    await stage.policy({ default: { requirements: [{ type: "digestOnly" }], snapshots: "reject" } })
    const { name, base } = await offered(stage, {})
    await stage.rejects(name)
    await stage.admits(base)
    await stage.policy({ default: { requirements: [{ type: "digestOnly" }] } })
    await stage.admits(name)
  }),
  snapshotPolicy("age-of-each", ["OVMS-POL-062", "OVMS-POL-060"], async (stage) => {
    const old = new Date(Date.now() - 48 * 3_600_000)
    await stage.policy({ default: { requirements: [{ type: "maxAge", hours: 24 }] } })
    await stage.admits((await offered(stage, {})).name)
    await stage.rejects((await offered(stage, { baseCreated: old })).name)
    await stage.rejects((await offered(stage, { snapshotCreated: old })).name)
  }),
  snapshotPolicy("base-by-its-repository", ["OVMS-POL-046"], async (stage) => {
    const keys = newKeys()
    const rule = { ...signedBy(keys), signedIdentity: { type: "matchReference" } }
    await stage.policy({ default: { requirements: [rule] } })
    const offer = await offered(stage, { base: keys, snapshot: keys, baseReference: "long-ago" })
    await stage.admits(offer.name)
    await stage.rejects(offer.base)
  }),
]
