import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { type Artifact, artifactOf } from "../../artifact/make.ts"
import { type SnapshotChanges, snapshotOf } from "../../artifact/snapshot.ts"
import { must } from "../../check.ts"
import { vmmNames } from "../../subject/vmms.ts"
import { unique } from "../unique.ts"
import { differencesIn } from "./differences.ts"
import { type Plan, refusedCreate, type Scene } from "./plan.ts"
import { partsOf, remade } from "./remade.ts"
import { snapshotPlan, snapshotted } from "./snapshots.ts"

const START = "POST /start"

/** A snapshot that no host could go on from: nothing but zeros, of a version of its VMM that there never was. */
async function foreign(
  { folder, runtime }: Scene,
  { document = {}, vmm = {}, base = guestArtifact() }: SnapshotChanges & { readonly base?: Artifact } = {},
) {
  const [name] = await vmmNames(runtime)
  const made = snapshotOf(base, { document, vmm: { name, ...vmm } })
  return await writeLayout(join(folder, `foreign-${made.digest.slice(7, 15)}`), made)
}

/** It was booted, and says why. */
async function bootedInItsPlace({ runtime }: Scene, id: string): Promise<void> {
  await runtime.says(id, /GUEST-READY/)
  const { warnings } = await runtime.status(id)
  must(
    warnings.some((words) => words.includes("/vmm/version")),
    `no warning names the fields that differ: ${warnings.join("; ")}`,
  )
}

interface Scrubbed {
  readonly snapshot_ref: string
  readonly scrub?: { readonly checked: boolean; readonly findings: readonly object[] }
}

/** Arguments of a kernel that a machine goes on with, and that its memory has nowhere, are searched as well. */
async function secretsOfArguments(scene: Scene, snapshot: string, secret: string): Promise<void> {
  const { runtime, start, folder } = scene
  const boot = { args: `console=ttyS0 key=${secret}` }
  const manifest = await writeLayout(join(folder, "secret"), remade(await partsOf(scene, snapshot), { boot }))
  const id = await start({ manifest })
  await runtime.reaches(id, "running")
  const body = { instance_id: id, tag: unique(), scrub_check: "report" }
  const { scrub, snapshot_ref } = await runtime.ask<Scrubbed>("POST /snapshot", "", { body })
  // One that knows that the guest needs them no more leaves them out.
  if ((await partsOf(scene, snapshot_ref)).descriptor.boot === undefined) return
  must(scrub?.findings.length === 1, `of a secret in boot.args it finds ${JSON.stringify(scrub)}`)
}

export const snapshotRefusalPlans: readonly Plan[] = [
  snapshotPlan(
    "of-another-host",
    ["OVMS-SNP-070", "OVMS-SNP-073", "OVMS-SNP-074", "OVMS-SNP-076", "OVMS-API-022"],
    async (scene) => {
      const body = { manifest: await foreign(scene) }
      const refusal = await scene.runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body })
      const differences = differencesIn(refusal)
      const fields = differences.map(({ field }) => field)
      for (const field of ["/vmm/version", "/vmm/format", "/vmm/machine", "/vmm/cpuModel", "/devices"])
        must(fields.includes(field), `detail does not have ${field}: ${fields.join(", ") || "nothing"}`)
      const version = differences.find(({ field }) => field === "/vmm/version")
      const { snapshot, host } = version ?? {}
      must(
        snapshot === "0.0.1" && host !== undefined && host !== snapshot,
        "a difference does not say both values",
      )
    },
  ),
  snapshotPlan("of-another-processor", ["OVMS-SNP-071"], async (scene) => {
    const host = { cpuVendor: "NoSuchVendor", cpuModel: "none", cpuFeatures: `sha256:${"0".repeat(64)}` }
    const { vmms } = await scene.runtime.ask<{ vmms: readonly { accelerator?: string }[] }>("GET /info")
    const body = { manifest: await foreign(scene, { document: { host }, vmm: { accelerator: "kvm" } }) }
    const refusal = await scene.runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body })
    const fields = differencesIn(refusal).map(({ field }) => field)
    const other = vmms[0]?.accelerator === "kvm" ? [] : ["/vmm/accelerator"]
    for (const field of ["/host/cpuVendor", "/host/cpuModel", "/host/cpuFeatures", ...other])
      must(fields.includes(field), `detail does not have ${field}: ${fields.join(", ") || "nothing"}`)
  }),
  snapshotPlan("cold-boot-in-its-place", ["OVMS-SNP-076", "OVMS-API-037"], async (scene) => {
    const { runtime, start } = scene
    const asked = { coldBootOnMismatch: true }
    const manifest = await foreign(scene)
    await bootedInItsPlace(scene, await start({ manifest, overrides: asked }))
    const base = guestArtifact(undefined, { document: { runtimeHints: asked } })
    const hinted = await foreign(scene, { base })
    await bootedInItsPlace(scene, await start({ manifest: hinted }))
    const refused = [{ manifest }, { manifest: hinted, overrides: { coldBootOnMismatch: false } }]
    for (const body of refused) await runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body })
  }),
  snapshotPlan("without-its-base", ["OVMS-SNP-075"], async (scene) => {
    // A base that nobody has.
    const made = snapshotOf(guestArtifact(Buffer.from(scene.folder)))
    const { base: _, ...alone } = made
    const manifest = await writeLayout(join(scene.folder, "alone"), alone)
    const body = { manifest, overrides: { coldBootOnMismatch: true } }
    await scene.runtime.refused(START, /^OVM_(BASE_MISMATCH|CONTENT_MISSING)$/, "", { body })
  }),
  snapshotPlan("base-that-it-is-not", ["OVMS-SNP-075", "OVMS-SNP-072"], async (scene) => {
    const digest = `sha256:${"0".repeat(64)}`
    const made = snapshotOf(guestArtifact(), { document: { base: { digest } } })
    const body = { manifest: await writeLayout(join(scene.folder, "other"), made) }
    await scene.runtime.refused(START, /^OVM_(BASE_MISMATCH|SNAPSHOT_INVALID)$/, "", { body })
  }),
  snapshotPlan("boot-of-no-kernel", ["OVMS-SNP-133"], async (scene) => {
    const disk = artifactOf({ kernelless: true })
    await scene.create({}, await writeLayout(join(scene.folder, "base"), disk))
    const made = snapshotOf(disk, { document: { boot: { args: "console=ttyS0" } } })
    const body = { manifest: await writeLayout(join(scene.folder, "kernelless"), made) }
    await scene.runtime.refused(START, "OVM_SNAPSHOT_INVALID", "", { body })
  }),
  snapshotPlan("nothing-to-resume", ["OVMS-SNP-111", "OVMS-SNP-112"], async ({ runtime, machine, start }) => {
    // A machine of its own: nobody has taken a snapshot of it.
    const manifest = await machine({ document: { name: `alone-${process.hrtime.bigint()}` } })
    const overrides = { resume: true }
    await runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body: { manifest, overrides } })
    const id = await start({ manifest, overrides: { ...overrides, coldBootOnMismatch: true } })
    await runtime.says(id, /GUEST-READY/)
    must((await runtime.status(id)).warnings.length > 0, "no warning says that it was booted")
  }),
  snapshotPlan(
    "what-a-clone-cannot-be-given",
    ["OVMS-FBC-005", "OVMS-VOL-008", "OVMS-SHR-022", "OVMS-NET-011", "OVMS-API-329", "OVMS-SNP-162"],
    async (scene) => {
      const { runtime, folder } = scene
      const { manifest } = await snapshotted(scene, {}, { network: { mode: "none" } })
      const name = `suite-${process.hrtime.bigint()}`
      await runtime.ask("POST /volumes", "", { body: { name, size: 1 << 20 } })
      const given = {
        config: { hostname: "clone" },
        ssh: { user: "root" },
        volumes: [{ name }],
        shares: [{ source: folder, target: "/src" }],
        agent: true,
        network: { ports: [{ guest: 80 }] },
      }
      try {
        for (const [override, value] of Object.entries(given)) {
          const body = { manifest, overrides: { [override]: value } }
          const { detail } = await runtime.refused(START, "OVM_UNSUPPORTED", "", { body })
          const pointers = (Array.isArray(detail) ? detail : []).map(({ pointer }) => String(pointer))
          must(
            pointers.some((one) => new RegExp(`^/?${override}\\b`).test(one)),
            `detail does not name ${override}: ${pointers.join(", ") || "nothing"}`,
          )
        }
        const body = { manifest, overrides: { network: { name: "suite-has-no-such-network" } } }
        await runtime.refused(START, /^OVM_(UNSUPPORTED|NETWORK_UNKNOWN)$/, "", { body })
      } finally {
        await runtime.ask("DELETE /volumes/{name}", name)
      }
    },
  ),
  snapshotPlan(
    "secrets",
    [
      "OVMS-SNP-097",
      "OVMS-SNP-098",
      "OVMS-SNP-134",
      "OVMS-API-054",
      "OVMS-API-056",
      "OVMS-API-058",
      "OVMS-API-121",
      "OVMS-SNP-143",
      "OVMS-SNP-144",
    ],
    async (scene) => {
      const { runtime, boot } = scene
      const secret = "AKIA" + "QY7ZOVMSSUITEABC"
      const id = await boot(`key=${secret}`)
      const tag = unique()
      const ask = { instance_id: id, tag }
      const found = await runtime.refused("POST /snapshot", "OVM_SECRETS_FOUND", "", {
        body: { ...ask, scrub_check: "refuse", stop: true },
      })
      const [finding] = Array.isArray(found.detail) ? found.detail : []
      must(finding?.kind && finding.count > 0, `detail is not the findings: ${JSON.stringify(found.detail)}`)
      must(!JSON.stringify(found).includes(secret), "the answer has the secret in it")
      const manifest = `localhost/conformance:${tag}`
      await refusedCreate(runtime, "OVM_NAME_UNKNOWN", { manifest })
      must((await runtime.status(id)).state === "running", "the machine does not run any more")
      const { scrub } = await runtime.ask<Scrubbed>("POST /snapshot", "", {
        body: { ...ask, scrub_check: "report" },
      })
      must(scrub?.checked && scrub.findings.length > 0, `what is only reported is ${JSON.stringify(scrub)}`)
      // It asks firmware for something else: by that nobody can say that it has read what it was started with.
      const asks = await boot("fw_cfg=nothing-like-it")
      const clean = { instance_id: asks, tag: `${tag}-clean`, scrub_check: "refuse" }
      const none = await runtime.ask<Scrubbed>("POST /snapshot", "", { body: clean })
      must(
        none.scrub?.checked && none.scrub.findings.length === 0,
        "the answer does not say that nothing was found",
      )
      if (runtime.harness) await secretsOfArguments(scene, none.snapshot_ref, secret)
    },
  ),
]
