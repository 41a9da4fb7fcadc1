import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { store } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { Registry } from "../../registry/server.ts"
import { attach, newKeys } from "../../signing/evidence.ts"
import { errorOf } from "../../subject/answers.ts"
import { aside } from "../runtime/aside.ts"
import { harnessOf, type Plan, type Scene } from "../runtime/plan.ts"
import { machineWithRam, parts, remade } from "../runtime/remade.ts"
import { DIGEST_ONLY, policyPlan } from "./stage.ts"

/** What is refused has no arguments: it goes on from RAM. */
const GOES_ON = { args: undefined }

/** Asks for the machine of that name to go on from a snapshot: its console, or the code of the refusal. */
async function resumed({ runtime }: Scene, manifest: string): Promise<string> {
  const body = { manifest, overrides: { resume: true } }
  const reply = await runtime.raw("POST", "/start", { body })
  if (reply.status >= 400) return errorOf("POST /start", reply).code
  const { instance_id } = JSON.parse(reply.text)
  return await runtime.until("the start comes to something", async () => {
    const { error } = await runtime.status(instance_id)
    if (error) return error.code
    const text = await runtime.logs(instance_id)
    return /TICK \d+\r?\n/.test(text) && text
  })
}

function wentOn(text: string): boolean {
  return /TICK \d+/.test(text) && !text.includes("GUEST-READY")
}

interface Found {
  readonly registry: Registry
  /** What has signed both. */
  readonly pem: string
  readonly snapshot: string
}

/** A runtime that has never had the snapshot, and a registry in which it refers to its machine, both signed. */
async function found(scene: Scene, use: (other: Scene, there: Found) => Promise<void>): Promise<void> {
  await using registry = await Registry.start()
  const snapshot = store(registry.repository, remade(await parts(scene), {}))
  registry.repository.tags.set("1", guestArtifact().digest)
  const keys = newKeys()
  for (const { digest, oci } of [guestArtifact(), snapshot])
    attach(registry.repository, { digest, size: oci.length }, keys)
  await aside(scene, (other) => use(other, { registry, pem: keys.publicPem, snapshot: snapshot.digest }))
}

export const policyFoundSnapshotPlans: readonly Plan[] = [
  policyPlan("ram-beside-the-machine", ["OVMS-POL-076"], async (stage) => {
    const { folder, policy, admits, rejects } = stage
    const manifest = await writeLayout(join(folder, "with-ram"), machineWithRam(await parts(stage)))
    await policy({ default: { ...DIGEST_ONLY, snapshots: "reject" } })
    await rejects(manifest, GOES_ON)
    await policy({ default: DIGEST_ONLY })
    await admits(manifest, GOES_ON)
  }),
  {
    name: "policy/snapshot-in-the-machines-registry",
    profile: "signing",
    covers: ["OVMS-SNP-110", "OVMS-SNP-114", "OVMS-SNP-115"],
    run: (scene) =>
      found(scene, async (other, { registry, pem, snapshot }) => {
        const name = registry.reference("1")
        const policy = (requirement: object) => {
          const document = { schemaVersion: 1, default: { requirements: [requirement] } }
          return writeFile(join(harnessOf(other.runtime).home, "policy.json"), JSON.stringify(document))
        }
        must(
          !wentOn(await resumed(other, name)),
          "what refers to a machine is taken for a local snapshot of it",
        )
        await policy({ type: "digestOnly" })
        must(!wentOn(await resumed(other, name)), "it goes on from a snapshot that nobody has vouched for")
        await policy({ type: "signed", keys: [{ pem }] })
        // Whether it looks there at all is its own.
        if (!wentOn(await resumed(other, name))) return
        await policy({ type: "digestOnly" })
        registry.manners.fault = (_, response) => {
          response.writeHead(503).end()
          return true
        }
        const id = await other.start({ manifest: registry.reference(snapshot) })
        const again = await other.runtime.says(id, /TICK \d+\r?\n/)
        must(wentOn(again), `what was pulled so is not local: ${again}`)
      }),
  },
]
