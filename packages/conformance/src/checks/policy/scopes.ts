import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, OCI_MANIFEST, store } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf, utf8 } from "../../registry/content.ts"
import { Registry } from "../../registry/server.ts"
import { bundleOf, evidenceManifest, newKeys } from "../../signing/evidence.ts"
import type { Plan } from "../runtime/plan.ts"
import { DIGEST_ONLY, policyPlan, REJECT, type Stage } from "./stage.ts"

/** Has a policy with these scopes, each of the one kind; everything else is the other kind. */
function only(stage: Stage, rest: object, scopes: Readonly<Record<string, object>>): Promise<void> {
  return stage.policy({ default: rest, scopes })
}

async function scopeOf(stage: Stage, manifest: string): Promise<string> {
  return (await stage.rejects(manifest)).scope
}

/** Puts a signature of the artifact into its layout. */
async function addEvidence(layout: string, { digest, oci }: Artifact, bundle: Buffer): Promise<void> {
  const manifest = evidenceManifest({ digest, size: oci.length }, bundle)
  for (const bytes of [bundle, utf8("{}"), manifest])
    await writeFile(join(layout, "blobs/sha256", digestOf(bytes).slice("sha256:".length)), bytes)
  const index = JSON.parse(await readFile(join(layout, "index.json"), "utf8"))
  index.manifests.push({ mediaType: OCI_MANIFEST, digest: digestOf(manifest), size: manifest.length })
  await writeFile(join(layout, "index.json"), JSON.stringify(index))
}

export const policyScopePlans: readonly Plan[] = [
  policyPlan("most-specific-scope", ["OVMS-POL-012", "OVMS-POL-013"], async (stage) => {
    const { registry, admits } = stage
    const { host } = registry
    store(registry.repository, guestArtifact(), "1")
    const name = registry.reference("1")
    const chain = [host, `${host}/suite`, `${host}/suite/machine`, `${host}/suite/machine:1`]
    const others = [
      `${host}/suit`,
      `${host}/suite/mach`,
      `${host}/suite/machine/more`,
      `${host}/suite/machine:2`,
    ]
    const strangers = (kind: object) => Object.fromEntries(others.map((other) => [other, kind]))
    await only(stage, DIGEST_ONLY, strangers(REJECT))
    await admits(name)
    for (const [at, scope] of chain.entries()) {
      const wider = Object.fromEntries(chain.slice(0, at).map((one) => [one, DIGEST_ONLY]))
      await only(stage, DIGEST_ONLY, { ...strangers(DIGEST_ONLY), ...wider, [scope]: REJECT })
      const used = await scopeOf(stage, name)
      must(used === scope, `of ${scope} and what is wider, the scope ${used} was used`)
      const refused = Object.fromEntries(chain.slice(0, at).map((one) => [one, REJECT]))
      await only(stage, REJECT, { ...strangers(REJECT), ...refused, [scope]: DIGEST_ONLY })
      await admits(name)
    }
  }),
  policyPlan("local-scope", ["OVMS-POL-014"], async (stage) => {
    const { policy, admits, folder } = stage
    const claimed = "registry.example.com/machines/edge:1"
    const path = await writeLayout(`${folder}/claims`, guestArtifact(), claimed)
    await policy({ default: REJECT, local: DIGEST_ONLY })
    await admits(path)
    await policy({ default: DIGEST_ONLY, local: REJECT })
    must((await scopeOf(stage, path)) === "local", "a path was not judged by local")
    await policy({ default: REJECT, scopes: { "registry.example.com": DIGEST_ONLY, [claimed]: DIGEST_ONLY } })
    must(
      (await scopeOf(stage, path)) === "default",
      "a path was not judged by default where there is no local",
    )
    must((await scopeOf(stage, `${path}:${claimed}`)) === "default", "its own name chose a scope for a path")
  }),
  policyPlan("identity-of-a-path", ["OVMS-POL-045"], async ({ policy, admits, rejects, folder }) => {
    const keys = newKeys()
    const artifact = guestArtifact(utf8("of a path"))
    const path = await writeLayout(`${folder}/signed`, artifact, "1")
    const reference = "registry.example.com/machines/edge:1"
    await addEvidence(path, artifact, bundleOf(artifact.digest, keys, { reference }))
    const rule = { type: "signed", keys: [{ pem: keys.publicPem }] }
    await policy({ default: { requirements: [rule] } })
    await admits(path)
    for (const type of ["matchRepository", "matchReference"]) {
      await policy({ default: { requirements: [{ ...rule, signedIdentity: { type } }] } })
      await rejects(path)
    }
  }),
  policyPlan("tag-beside-a-digest", ["OVMS-POL-015"], async (stage) => {
    const { registry } = stage
    const { digest } = store(registry.repository, guestArtifact(), "1")
    const repository = registry.reference("1").slice(0, -2)
    await only(stage, DIGEST_ONLY, { [repository]: REJECT, [`${repository}:1`]: DIGEST_ONLY })
    await stage.admits(`${repository}:1`)
    for (const name of [`${repository}:1@${digest}`, `${repository}@${digest}`])
      must((await scopeOf(stage, name)) === repository, `${name} was judged by the scope of the tag`)
  }),
  policyPlan("content-of-another-repository", ["OVMS-POL-016"], async (stage) => {
    const { registry, policy, admits, refusal } = stage
    const { digest } = store(registry.repository, guestArtifact(Buffer.from(registry.host)), "1")
    const elsewhere = await Registry.start()
    try {
      await policy({ default: DIGEST_ONLY })
      await admits(registry.reference("1"))
      const error = await refusal(elsewhere.reference(digest))
      must(error, "content of one repository was started by the name of another that does not have it")
      await admits(registry.reference(digest))
    } finally {
      await elsewhere.close()
    }
  }),
]
