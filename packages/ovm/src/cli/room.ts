import { join } from "node:path"
import { cacheEntries } from "../cache/collect.ts"
import { diskUsage } from "../files/disk-usage.ts"
import type { Paths } from "../host/paths.ts"
import { type NamedUse, storeUse } from "../images/store-use.ts"
import type { InstanceInfo, Runtime, Volume } from "../runtime/interfaces.ts"

/** Bytes on the disk, and how many of them a command that prunes would free. */
export interface Room<Item = unknown> {
  readonly count: number
  readonly size: number
  readonly reclaimable: number
  readonly items: readonly Item[]
}

/** `ovm system df --json`. */
export interface RoomTaken {
  readonly images: Room<Artifact>
  readonly snapshots: Room<Artifact>
  readonly unused: Omit<Room, "items">
  readonly cache: Room<{
    readonly kind: string
    readonly digest: string
    readonly size: number
    readonly in_use: boolean
  }>
  readonly machines: Room<{
    readonly instance_id: string
    readonly name: string
    readonly state: string
    readonly size: number
  }>
  readonly volumes: Room<{
    readonly name: string
    readonly size: number
    readonly machines: readonly string[]
  }>
  readonly total: { readonly size: number; readonly reclaimable: number }
}

type Artifact = Omit<NamedUse, "type">

/** What takes room below this host's root. Throws what storeUse and the daemon throw. */
export async function roomTaken(
  place: Paths,
  runtime: Runtime,
  call: { readonly signal?: AbortSignal } = {},
): Promise<RoomTaken> {
  const store = await storeUse(place, call)
  const named = (type: NamedUse["type"]) =>
    store.named.filter((one) => one.type === type).map(({ type: _, ...artifact }) => artifact)
  const [images, snapshots] = [named("machine"), named("snapshot")]
  const kinds = {
    images: { count: images.length, size: store.images, reclaimable: 0, items: images },
    snapshots: { count: snapshots.length, size: store.snapshots, reclaimable: 0, items: snapshots },
    unused: {
      count: store.unused.blobs,
      size: store.unused.size + store.unfinished,
      reclaimable: store.unused.size + store.prune.unfinished,
    },
    cache: await cacheRoom(place, store.prune.evicted),
    machines: await machinesRoom(place, await runtime.list()),
    volumes: volumesRoom(await runtime.volumes()),
  }
  const sum = (member: "size" | "reclaimable") =>
    Object.values(kinds).reduce((total, kind) => total + kind[member], 0)
  return { ...kinds, total: { size: sum("size"), reclaimable: sum("reclaimable") } }
}

async function cacheRoom(
  place: Paths,
  evicted: readonly { readonly bytes: number }[],
): Promise<RoomTaken["cache"]> {
  const items = (await cacheEntries(place.cache)).map(({ recipe, digest, bytes, holders }) => ({
    kind: recipe,
    digest,
    size: bytes,
    in_use: holders.length > 0,
  }))
  const reclaimable = evicted.reduce((sum, { bytes }) => sum + bytes, 0)
  return { count: items.length, size: sizeOf(items), reclaimable, items }
}

/** `ovm rm` frees what one that has ended takes, and nothing else does. */
async function machinesRoom(
  { instances }: Paths,
  known: readonly InstanceInfo[],
): Promise<RoomTaken["machines"]> {
  const items = await Promise.all(
    known.map(async ({ instance_id, name, state }) => ({
      instance_id,
      name,
      state,
      size: await diskUsage(join(instances, instance_id)),
    })),
  )
  // Warm slots are no instances, and take room all the same.
  return { count: items.length, size: await diskUsage(instances), reclaimable: 0, items }
}

function volumesRoom(volumes: readonly Volume[]): RoomTaken["volumes"] {
  const items = volumes.map(({ name, used, instances }) => ({
    name,
    size: used,
    machines: instances.map(({ instance_id }) => instance_id),
  }))
  const free = items.filter(({ machines }) => machines.length === 0)
  return { count: items.length, size: sizeOf(items), reclaimable: sizeOf(free), items }
}

function sizeOf(items: readonly { readonly size: number }[]): number {
  return items.reduce((sum, { size }) => sum + size, 0)
}
