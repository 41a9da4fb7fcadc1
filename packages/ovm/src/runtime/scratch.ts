import { existsSync } from "node:fs"
import { readdir, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { toOvmError } from "../errors.ts"
import type { Machine } from "../vmm/machine.ts"
import type { InstantSink } from "../vmm/snapshot.ts"
import { furtherWritable } from "./disks.ts"
import type { Instance } from "./instance.ts"
import type { Lineage } from "./record.ts"
import { isUp } from "./states.ts"
import { writtenDisk } from "./written-disks.ts"

/** Between two tries to let a guest go on, in ms. */
const AGAIN_MS = 500

/**
 * The files of one snapshot in its instance's directory. No other's have the same names: what an earlier one left, be
 * it an overlay that the guest writes to, is in nobody's way.
 */
export function sinkOf(
  { directory, info }: Instance,
  lineage: Pick<Lineage, "overlays" | "disks">,
): Required<Omit<InstantSink, "last">> {
  const id = crypto.randomUUID().slice(0, 8)
  const further = furtherWritable(info.disks).map((name) => {
    const { overlays } = writtenDisk(directory, lineage, name)
    return [name, join(directory, `overlay-${name}.${overlays.length + 1}-${id}.qcow2`)] as const
  })
  return {
    ram: join(directory, `snapshot-${id}.ram`),
    state: join(directory, `snapshot-${id}.state`),
    overlay: join(directory, `overlay-${lineage.overlays.length + 1}-${id}.qcow2`),
    disks: new Map(further),
  }
}

/** RAM, compressed RAM and device state, of any snapshot; layers of commits. */
const SCRATCH = /^(snapshot(-\w+)?\.(ram|state)|commit-\w+\.qcow2$)/

/**
 * Removes what snapshots left of RAM and state in `directory`, while none is being taken. Gives what could not be, in
 * words.
 */
export async function removeLeftovers(directory: string): Promise<readonly string[]> {
  const problems: string[] = []
  for (const name of (await readdir(directory).catch(() => [])).filter((name) => SCRATCH.test(name)))
    await rm(join(directory, name), { force: true }).catch((thrown) => {
      problems.push(`a snapshot left ${name}: ${toOvmError(thrown).message}`)
    })
  return problems
}

/** Removes what snapshots left in the directory of `instance`, and adds to its `warnings` what could not be removed. */
export async function removeScratch(instance: Instance): Promise<void> {
  const { warnings } = instance.info
  const problems = await removeLeftovers(instance.directory)
  const added = problems.filter((problem) => !warnings.includes(problem))
  if (added.length > 0) instance.note({ warnings: [...warnings, ...added] })
}

/** There while a guest is made to stand still, so that nothing happens any more that its snapshot does not know. */
function heldFile({ directory }: Instance): string {
  return join(directory, "snapshot.held")
}

export async function hold(instance: Instance, machine: Machine): Promise<void> {
  await noteHeld(instance)
  await machine.pause()
}

/** Whoever adopts its machine has the guest go on. */
export async function noteHeld(instance: Instance): Promise<void> {
  await writeFile(heldFile(instance), "", { mode: 0o600 })
}

/**
 * Has a guest go on that `hold` stopped, if one did: if it cannot yet, as soon as it can. Settles once it was tried.
 * Unless it `goesOn`, it is only no longer held.
 */
export async function letGoOn(instance: Instance, goesOn = true): Promise<void> {
  if (!goesOn) return await rm(heldFile(instance), { force: true })
  if (!existsSync(heldFile(instance)) || (await tryLetGo(instance))) return
  void keepTrying(instance)
}

async function keepTrying(instance: Instance): Promise<void> {
  do await sleep(AGAIN_MS, undefined, { ref: false })
  while (!(await tryLetGo(instance)))
}

/** True if there is nothing more to do. One that has ended, or is ending, does not go on. */
async function tryLetGo(instance: Instance): Promise<boolean> {
  const { machine, state } = instance
  try {
    if (machine && isUp(state)) await machine.resume()
    await rm(heldFile(instance), { force: true })
    return true
  } catch {
    return false
  }
}
