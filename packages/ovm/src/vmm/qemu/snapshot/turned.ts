import { open } from "node:fs/promises"
import { createOverlay } from "../../../disk/overlay.ts"
import { OvmError } from "../../../errors.ts"
import type { MachineRecord } from "../../machine.ts"
import type { Attempt, NewOverlay } from "../../process/attempt.ts"
import type { Frozen, InstantSink, SnapshotParts } from "../../snapshot.ts"
import type { Qmp } from "../qmp.ts"
import { attachOverlay, type Drive, driveHere, furtherDrivesOf, overlayNodes } from "./drive.ts"

/** A disk that the guest writes to, and what it is going to write to. */
export interface Turned {
  /** Absent of the first. */
  readonly name?: string
  readonly drive: Drive
  readonly overlay: NewOverlay
}

/** All disks that are turned from one overlay to the next by a snapshot into `into`; `first` is the first disk. */
export async function turnedOf(
  { directory }: MachineRecord,
  qmp: Qmp,
  into: InstantSink,
  first: Drive | undefined,
): Promise<readonly Turned[]> {
  const further = [...(await furtherDrivesOf(qmp))].map(([name, drive]) => ({
    name,
    drive: driveHere(directory, drive),
    overlay: overlayOn(drive, into.disks?.get(name)),
  }))
  if (!first || first.readOnly) return further
  return [{ drive: first, overlay: overlayOn(first, into.overlay) }, ...further]
}

function overlayOn({ node }: Drive, path: string | undefined): NewOverlay {
  if (path !== undefined) return { path, nodes: overlayNodes(node) }
  throw new OvmError("OVM_INTERNAL", "a snapshot of a machine with a writable disk needs a new overlay")
}

/** What the note of the attempt says of them. */
export function noted(turned: readonly Turned[]): Pick<Attempt, "overlay" | "further"> {
  const [first] = turned.filter(({ name }) => name === undefined)
  const further = turned.filter(({ name }) => name !== undefined).map(({ overlay }) => overlay)
  return { ...(first && { overlay: first.overlay }), ...(further.length > 0 && { further }) }
}

/** Makes the new overlays and has QEMU open them, ahead of the pause. */
export async function makeReady(qmp: Qmp, turned: readonly Turned[]): Promise<void> {
  for (const { drive, overlay } of turned) {
    await createOverlay(overlay.path, drive.size)
    await attachOverlay(qmp, overlay.nodes, overlay.path, drive.ephemeral)
  }
  for (const { drive } of turned) if (!drive.ephemeral) await syncAhead(drive.path)
}

/**
 * QEMU brings to the host's disk whatever is not there yet while the guest stands still: so most of it goes there while
 * the guest runs. What cannot be synced is QEMU's to tell.
 */
async function syncAhead(path: string): Promise<void> {
  const file = await open(path, "r").catch(() => undefined)
  await file
    ?.datasync()
    .catch(() => {})
    .finally(() => file.close())
}

/** What the parts of the snapshot say of them. */
export function frozenOf(turned: readonly Turned[]): Pick<SnapshotParts, "disk" | "disks"> {
  const disks = new Map<string, Frozen>()
  let disk: Frozen | undefined
  for (const { name, drive, overlay } of turned) {
    const one = { frozen: drive.path, overlay: overlay.path }
    if (name === undefined) disk = one
    else disks.set(name, one)
  }
  return { ...(disk && { disk }), ...(disks.size > 0 && { disks }) }
}
