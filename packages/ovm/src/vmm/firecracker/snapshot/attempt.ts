import { chmod, rm } from "node:fs/promises"
import { type Attempt, forgetAttempt } from "../../process/attempt.ts"
import type { Qmp } from "../../qemu/qmp.ts"
import { detachOverlay } from "../../qemu/snapshot/drive.ts"
import type { Api } from "../api.ts"
import { monitorOf, shownNode, writtenFile } from "./disk.ts"

/**
 * Brings the machine back to where it was before `attempt`, and removes its files; but for one whose disk has been
 * changed to the new overlay, which comes last and cannot be taken back: that is through, its files stay, and the guest
 * only has to go on. Says whether it is. What Firecracker was asked before is answered first. Throws OVM_VMM_FAILED or
 * OVM_VMM_TIMEOUT: then the note stays.
 */
export async function takeBackFirecracker(api: Api, attempt: Attempt): Promise<boolean> {
  const { directory, files, overlay, running } = attempt
  if (running) await api.ask("PATCH", "/vm", { state: "Resumed" })
  const through = overlay !== undefined && (await withMonitor(directory, (qmp) => settle(qmp, attempt)))
  if (!through)
    for (const path of [...files, ...(overlay ? [overlay.path] : [])]) await rm(path, { force: true })
  await forgetAttempt(directory)
  return through
}

/** Whether the guest writes to the new overlay; if not, that is let go of. */
async function settle(qmp: Qmp, { directory, overlay }: Attempt): Promise<boolean> {
  if (!overlay) return false
  const top = await shownNode(qmp)
  if (top === overlay.nodes.format) {
    await chmod(await writtenFile(qmp, overlay.nodes.below, directory), 0o444)
    return true
  }
  await detachOverlay(qmp, overlay.nodes, async (node) => node === top)
  return false
}

async function withMonitor<T>(directory: string, use: (qmp: Qmp) => Promise<T>): Promise<T> {
  const qmp = await monitorOf(directory)
  try {
    return await use(qmp)
  } finally {
    qmp.close()
  }
}
