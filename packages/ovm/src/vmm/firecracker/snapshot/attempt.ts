import { chmod, rm } from "node:fs/promises"
import { type Attempt, forgetAttempt, type NewOverlay } from "../../process/attempt.ts"
import { workplaceOf } from "../../process/jailed.ts"
import type { Qmp } from "../../qemu/qmp.ts"
import { detachOverlay } from "../../qemu/snapshot/drive.ts"
import type { Frozen } from "../../snapshot.ts"
import type { Api } from "../api.ts"
import { removeLent, takeBackLent } from "../jail/snapshot.ts"
import { monitorOf, shownNode, writtenFile } from "./disk.ts"

/** Called before the guest goes on, which writes to the new overlay. */
export type OnTurned = (disk: Frozen) => Promise<void>

/**
 * Brings the machine back to where it was before `attempt`, and removes its files; but for one whose disk has been
 * changed to the new overlay, which comes last and cannot be taken back: that is through, its files stay, and the guest
 * only has to go on. Says whether it is. No guest writes to a disk of which nobody knows yet which one it is. What
 * Firecracker was asked before is answered before a file goes. Throws OVM_VMM_FAILED or OVM_VMM_TIMEOUT: then the note
 * stays.
 */
export async function takeBackFirecracker(
  api: Api,
  attempt: Attempt,
  onTurned: OnTurned = async () => {},
): Promise<boolean> {
  const { directory, files, overlay, running } = attempt
  const frozen = overlay && (await withMonitor(directory, (qmp) => settle(qmp, directory, overlay)))
  const through = overlay !== undefined && frozen !== undefined
  if (through) await onTurned({ frozen, overlay: overlay.path })
  if (running) await api.ask("PATCH", "/vm", { state: "Resumed" })
  const place = workplaceOf(directory)
  const [ram = "", state = ""] = files
  if (place !== directory && through) takeBackLent({ ram, state }, place)
  else if (place !== directory) removeLent(place)
  if (!through)
    for (const path of [...files, ...(overlay ? [overlay.path] : [])]) await rm(path, { force: true })
  await forgetAttempt(directory)
  return through
}

/** The file that the guest wrote to before; undefined if it still does, and the new overlay is let go of. */
async function settle(qmp: Qmp, directory: string, { nodes }: NewOverlay): Promise<string | undefined> {
  const top = await shownNode(qmp)
  if (top === nodes.format) {
    const frozen = await writtenFile(qmp, nodes.below, directory)
    await chmod(frozen, 0o444)
    return frozen
  }
  await detachOverlay(qmp, nodes)
  return undefined
}

async function withMonitor<T>(directory: string, use: (qmp: Qmp) => Promise<T>): Promise<T> {
  const qmp = await monitorOf(directory)
  try {
    return await use(qmp)
  } finally {
    qmp.close()
  }
}
