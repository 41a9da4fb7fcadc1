import { isSnapshot } from "../../artifact/snapshot/read.ts"
import type { Call } from "../../content/interfaces.ts"
import { paths } from "../../host/paths.ts"
import { collectImages } from "../../images/collect.ts"
import { openStoreToRead } from "../store.ts"
import { MACHINE_NAMES } from "./step-name.ts"

/** Snapshots of machines that are kept: each has the RAM of one. */
export const MOST_MACHINES = 8

/** Lets go of all but the newest, with what only they have (OVMS-BLD-059). Throws what collectImages throws. */
export async function letGoOfMachines(call: Call): Promise<void> {
  const old = new Set((await keptMachines(call)).slice(0, -MOST_MACHINES))
  if (old.size > 0) await collectImages(paths(), { ...call, forget: (name) => old.has(name) })
}

/** Their names, the oldest first: a store lists what was named last at the end. */
async function keptMachines(call: Call): Promise<string[]> {
  await using store = await openStoreToRead()
  const names: string[] = []
  for await (const { reference, target } of store.list())
    if (reference.startsWith(`${MACHINE_NAMES}:`) && (await isSnapshot(store, target, call)))
      names.push(reference)
  return names
}
