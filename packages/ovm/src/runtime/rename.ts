import { OvmError } from "../errors.ts"
import type { Instance } from "./instance.ts"
import { chooseName } from "./names.ts"
import { outlive } from "./outlive.ts"
import { freeName } from "./removals.ts"

/**
 * Gives an instance another name, which it has once this settles (OVMS-API-173). Throws OVM_NAME_IN_USE,
 * OVM_REQUEST_INVALID, OVM_STATE_CONFLICT, OVM_RECORD_UNREADABLE, and what writing its record can throw: then it has
 * the one that it had, unless only the host's disk could not be made sure of.
 */
export async function renameInstance(
  instance: Instance,
  name: string,
  all: ReadonlyMap<string, Instance>,
): Promise<void> {
  const { id, info, removing, state, unreadable } = instance
  if (unreadable) throw unreadable
  const why = removing ? "is being removed" : state === "starting" && "is starting"
  if (why) throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} ${why}`, { detail: { state } })
  freeName(name, all)
  const others = Array.from(all.values(), (one) => one.info).filter(({ instance_id }) => instance_id !== id)
  await instance.change({ name: chooseName(name, info.image.reference, others) }, { record: "written" })
  await outlive(instance)
}
