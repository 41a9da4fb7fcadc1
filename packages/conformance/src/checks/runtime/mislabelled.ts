import { rename } from "node:fs/promises"
import { join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { type ApiError, errorOf } from "../../subject/answers.ts"
import { unique } from "../unique.ts"
import type { Plan, Scene } from "./plan.ts"
import { partsOf, remade } from "./remade.ts"
import { snapshotPlan } from "./snapshots.ts"

// Files that a VMM would take, and that are not what their digests say.

const START = "POST /start"
const DISK = { diskless: false }

/** What a runtime says of a snapshot that it must not go on from, at once or later; nothing of one that runs. */
async function refusalOf({ runtime, keep }: Scene, manifest: string): Promise<ApiError | undefined> {
  const reply = await runtime.raw("POST", "/start", { body: { manifest } })
  if (reply.status >= 400) return errorOf(START, reply)
  const id = keep(JSON.parse(reply.text).instance_id)
  return await runtime.until("the start has come to an end", async () => {
    const { state, error } = await runtime.status(id)
    return (state === "failed" || state === "running") && { code: "OVM_INTERNAL", message: "", ...error }
  })
}

export const mislabelledPlans: readonly Plan[] = [
  snapshotPlan("files-that-are-others", ["OVMS-SNP-066", "OVMS-SEC-001"], async (scene) => {
    const { runtime, start, machine, folder } = scene
    const id = await start({ manifest: await machine(DISK) })
    await runtime.says(id, /TICK 2\r?\n/)
    const body = { instance_id: id, tag: unique() }
    const { snapshot_ref } = await runtime.ask<{ snapshot_ref: string }>("POST /snapshot", "", { body })
    const parts = await partsOf(scene, snapshot_ref)
    const { state, overlays } = parts.descriptor
    for (const [what, ref] of [
      ["device state", state.ref],
      ["an overlay", overlays[0]?.ref],
    ] as const) {
      const bytes = parts.blobs[parts.layers.findIndex(({ digest }) => digest === ref)]
      must(bytes, `the snapshot has no layer with ${what}`)
      // Of the same size, and nobody has the bytes that would be right: those that are there are good for any VMM.
      const said = digestOf(Buffer.concat([bytes.subarray(0, -1), Buffer.of((bytes.at(-1) ?? 0) ^ 1)]))
      const other = <T>(value: T): T => JSON.parse(JSON.stringify(value).replaceAll(ref, said))
      const wrong = { ...parts, oci: other(parts.oci), layers: other(parts.layers) }
      const made = { ...remade(wrong, other(parts.descriptor)), base: guestArtifact(undefined, DISK) }
      const manifest = await writeLayout(join(folder, said.slice(7, 15)), made)
      const path = (digest: string) => join(manifest, "blobs/sha256", digest.slice("sha256:".length))
      await rename(path(ref), path(said))
      const refusal = await refusalOf(scene, manifest)
      must(
        refusal?.code === "OVM_DIGEST_MISMATCH",
        `${what} that has not its digest: ${refusal ? `${refusal.code} ${refusal.message}` : "the machine runs"}`,
      )
    }
  }),
]
