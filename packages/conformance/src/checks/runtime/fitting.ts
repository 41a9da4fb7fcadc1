import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { writeLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import { unique } from "../unique.ts"
import { differencesIn } from "./differences.ts"
import type { Plan, Scene } from "./plan.ts"
import { parts, remade } from "./remade.ts"
import { snapshotPlan } from "./snapshots.ts"

// Which snapshot a host goes on from: what is compared, and what it chooses.

const START = "POST /start"

/** What is at a JSON pointer of names alone. */
const valueAt = (document: object, pointer: string) =>
  pointer
    .slice(1)
    .split("/")
    // biome-ignore lint/suspicious/noExplicitAny: a document of the implementation's
    .reduce((found: any, name) => found?.[name], document)

async function goesOnFrom({ runtime }: Scene, id: string, snapshot: string): Promise<void> {
  const text = await runtime.says(id, /TICK \d+\r?\n/)
  must(!text.includes("GUEST-READY"), "it was booted, and did not go on")
  const from = (await runtime.status(id)).snapshot
  must(from === snapshot, `it goes on from ${from}, and not from ${snapshot}`)
}

/** Gives the names of these snapshots to those of another machine, whose image has the same name. */
async function renamed({ runtime, machine, start }: Scene, tags: readonly string[]): Promise<void> {
  const id = await start({ manifest: await machine({ document: { version: unique() } }) })
  await runtime.says(id, /TICK 2\r?\n/)
  for (const tag of tags) await runtime.ask("POST /snapshot", "", { body: { instance_id: id, tag } })
}

export const fittingPlans: readonly Plan[] = [
  snapshotPlan(
    "each-difference",
    ["OVMS-SNP-070", "OVMS-SNP-071", "OVMS-SNP-074", "OVMS-SNP-174"],
    async (scene) => {
      const { runtime, start, folder } = scene
      const taken = await parts(scene)
      // They say the same as the descriptor.
      const found = { ...taken, oci: { ...taken.oci, annotations: {} } }
      const { vmm, devices } = found.descriptor
      const other = (name: string) =>
        [`/vmm/${name}`, { vmm: { ...vmm, [name]: `${vmm[name]}-suite` } }] as const
      const cases = [
        ...["version", "format", "machine", "cpuModel"].map(other),
        ["/devices", { devices: [...devices, "suite-device"] }] as const,
        ["/devices", { devices: devices.toReversed() }] as const,
      ]
      for (const [at, [field, changes]] of cases.entries()) {
        const [there, here] = [valueAt(changes, field), valueAt(found.descriptor, field)]
        if (isDeepStrictEqual(there, here)) continue
        const manifest = await writeLayout(join(folder, `other-${at}`), remade(found, changes))
        const refusal = await runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body: { manifest } })
        const [one, ...more] = differencesIn(refusal)
        const fields = [one, ...more].map((found) => found?.field)
        must(
          one?.field === field && more.length === 0,
          `${field} differs, and detail has ${fields.join(", ")}`,
        )
        must(isDeepStrictEqual(one.snapshot, there), `of ${field} the snapshot's value is not told`)
        // A host may have a choice of some.
        const hosts: unknown = one.host
        const told = isDeepStrictEqual(hosts, here) || (Array.isArray(hosts) && hosts.includes(here))
        must(told, `of ${field} the host's value is said to be ${JSON.stringify(hosts)}`)
      }
      const host = { cpuVendor: "NoSuchVendor", cpuModel: "none", cpuFeatures: `sha256:${"0".repeat(64)}` }
      const old = { created: "2024-02-29T12:00:00Z", ...(vmm.accelerator === "tcg" && { host }) }
      const id = await start({ manifest: await writeLayout(join(folder, "old"), remade(found, old)) })
      const text = await runtime.says(id, /TICK \d+\r?\n/)
      must(!text.includes("GUEST-READY"), "it was booted, and did not go on")
      const { warnings } = await runtime.status(id)
      must(
        warnings.some((words) => words.includes("2024")),
        `no warning says when the snapshot was taken: ${warnings.join("; ")}`,
      )
    },
  ),
  snapshotPlan("newest-that-fits", ["OVMS-SNP-110", "OVMS-SNP-111", "OVMS-SNP-112"], async (scene) => {
    const { runtime, start, machine } = scene
    const manifest = await machine({ document: { version: unique(), runtimeHints: { resume: true } } })
    const source = await start({ manifest })
    await runtime.says(source, /GUEST-READY/)
    const tags = [unique(), unique()] as const
    const taken = async (tag: string, more: object = {}) =>
      (
        await runtime.ask<{ snapshot_ref: string }>("POST /snapshot", "", {
          body: { instance_id: source, tag, ...more },
        })
      ).snapshot_ref
    const [first, second] = [await taken(tags[0]), await taken(tags[1], { multi_resume: "deny" })]
    const more = { manifest, overrides: { resume: true, vcpus: 2 } }
    const refusal = await runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body: more })
    const fields = differencesIn(refusal).map(({ field }) => field)
    must(
      fields.filter((field) => field === "/resources/vcpus").length === 2,
      `of two snapshots that do not fit detail has ${fields.join(", ") || "nothing"}`,
    )
    const plain = await start({ manifest, overrides: { resume: false } })
    await runtime.says(plain, /GUEST-READY/)
    const { warnings: usual } = await runtime.status(plain)
    must(
      (await runtime.status(source)).warnings.some((words) => !usual.includes(words)),
      "no warning says that it was booted where the manifest asks for a resume",
    )
    await goesOnFrom(scene, await start({ manifest }), second)
    await goesOnFrom(scene, await start({ manifest, overrides: { resume: true } }), first)
    // They are on this host still, since machines go on from them; nobody calls them by a name.
    await renamed(scene, tags)
    const body = { manifest, overrides: { resume: true } }
    await runtime.refused(START, "OVM_SNAPSHOT_INCOMPATIBLE", "", { body })
  }),
]
