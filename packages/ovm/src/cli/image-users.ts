import type { Descriptor } from "../content/descriptor.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import { findDaemon } from "./daemon.ts"

interface Users {
  /** Ids of instances. */
  readonly instances: readonly string[]
  /** Names of snapshots whose slots are loaded. */
  readonly slots: readonly string[]
}

/**
 * An image that a machine uses keeps its last name, by which it can be seen and started again. Throws
 * OVM_IMAGE_IN_USE.
 */
export async function refuseIfUsed(store: LayoutStore, name: string, target: Descriptor): Promise<void> {
  const leases = (await store.leases()).filter(({ digests }) => digests.includes(target.digest))
  if (leases.length === 0) return
  const { instances, slots } = await usersOf(leases)
  const by = [
    ...(instances.length > 0 ? [`instance ${instances.join(", ")}`] : []),
    ...(slots.length > 0 ? [`warm slots of ${slots.join(", ")}`] : []),
  ]
  const ways = [
    ...instances.slice(0, 1).map((id) => `ovm stop ${id}; ovm rm ${id}`),
    ...slots.map((slot) => `ovm warm ${slot} --slots 0`),
  ]
  throw new OvmError("OVM_IMAGE_IN_USE", `${name} is used by ${by.join(" and by ")}`, {
    detail: { instances },
    hint: ways.join("; ") + (instances.length > 0 ? ". ovm rm removes the machine's disk as well" : ""),
  })
}

/**
 * What waits in a slot has an id as well, but is no instance that could be stopped. Without a daemon there are no
 * slots.
 */
async function usersOf(leases: readonly { id: string; digests: readonly string[] }[]): Promise<Users> {
  const ids = leases.map(({ id }) => id.replace(/^instance-/, ""))
  const runtime = await findDaemon().catch(() => undefined)
  if (!runtime) return { instances: ids, slots: [] }
  const [known, { warm }] = await Promise.all([runtime.list(), runtime.info()])
  const instances = ids.filter((id) => known.some(({ instance_id }) => instance_id === id))
  const held = leases.filter((_, at) => !instances.includes(ids[at] ?? "")).flatMap(({ digests }) => digests)
  const slots = warm.filter(({ snapshot }) => snapshot !== undefined && held.includes(snapshot))
  if (slots.length === 0) return { instances: ids, slots: [] }
  return { instances, slots: slots.map(({ reference }) => reference) }
}
