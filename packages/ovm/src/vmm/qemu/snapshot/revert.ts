import { existsSync, renameSync, rmSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../../errors.ts"
import { type NewOverlay, spent } from "../../process/attempt.ts"
import type { Qmp } from "../qmp.ts"
import { detachOverlay, isTopOf } from "./drive.ts"

const JOB = "ovm-revert"
const JOB_MS = 60_000
const LOOK_MS = 2

/**
 * Takes an overlay off its disk and away, with what was written to it put into the layer below; works while the guest
 * runs, and goes on with what somebody else began. Whenever all ends in between, the overlay is there by its name just
 * as long as it has what the guest wrote last (runtime/turning.ts).
 */
export async function revert(qmp: Qmp, overlay: NewOverlay): Promise<void> {
  const { path, nodes } = overlay
  if (await isTopOf(qmp, nodes.format)) await commit(qmp, overlay)
  rmSync(path, { force: true })
  await detachOverlay(qmp, nodes)
  rmSync(spent(path), { force: true })
}

async function commit(qmp: Qmp, { path, nodes }: NewOverlay): Promise<void> {
  // One that was begun, and whose answer came too late, goes on.
  if (!(await jobOf(qmp)))
    await qmp.execute("block-commit", {
      "job-id": JOB,
      device: nodes.format,
      "base-node": nodes.below,
      "auto-finalize": false,
    })
  const deadline = performance.now() + JOB_MS
  for (let told = ""; ; await sleep(LOOK_MS)) {
    const job = await jobOf(qmp)
    if (!job) break
    if (job.status === "ready" && told === "") {
      await qmp.execute("block-job-complete", { device: JOB })
      told = job.status
    }
    // Both layers have everything now, and what the guest writes waits until one of them is the top.
    if (job.status === "pending" && told !== job.status) {
      if (existsSync(path)) renameSync(path, spent(path))
      await qmp.execute("job-finalize", { id: JOB })
      told = job.status
    }
    if (performance.now() > deadline)
      throw new OvmError("OVM_VMM_TIMEOUT", `QEMU did not take an overlay back within ${JOB_MS} ms`)
  }
  if (!(await isTopOf(qmp, nodes.format))) return
  if (existsSync(spent(path))) renameSync(spent(path), path)
  throw new OvmError("OVM_VMM_FAILED", "QEMU could not take an overlay back")
}

/** The job that takes an overlay back, while there is one (qapi/block-core.json, BlockJobInfo). */
async function jobOf(qmp: Qmp): Promise<{ readonly status: string } | undefined> {
  const jobs = (await qmp.execute("query-block-jobs")) as readonly { device: string; status: string }[]
  return jobs.find(({ device }) => device === JOB)
}
