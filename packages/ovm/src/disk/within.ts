import { withLayers } from "./chain-reader.ts"
import { CLUSTER, GuestWrites, PER_TABLE } from "./guest-writes.ts"
import { Lookup } from "./lookup.ts"

/**
 * Whether each cluster that the layers say something of is one that `overlays` say something of: then nothing of the
 * layers shows through them. Both are qcow2 with clusters of 64 KiB. Throws OVM_DISK_INVALID, OVM_FILE_UNREADABLE.
 */
export async function isCoveredBy(layers: readonly string[], overlays: readonly string[]): Promise<boolean> {
  if (layers.length === 0) return true
  return await withWrites(layers, (few) => withWrites(overlays, (all) => isCovered(few, all)))
}

async function isCovered(few: GuestWrites, all: GuestWrites): Promise<boolean> {
  const tables = Math.ceil(few.size / (CLUSTER * PER_TABLE))
  for (let index = 0; index < tables; index++) {
    const [low, high] = await Promise.all([few.table(index), all.table(index)])
    if (!low) continue
    for (let entry = 0; entry < PER_TABLE; entry++)
      if (low.find(entry) !== undefined && high?.find(entry) === undefined) return false
  }
  return true
}

async function withWrites<T>(paths: readonly string[], use: (writes: GuestWrites) => Promise<T>): Promise<T> {
  const files = paths.map((path) => ({ path, format: "qcow2" as const }))
  return await withLayers(files, (layers) =>
    use(new GuestWrites(layers.filter((layer) => layer instanceof Lookup))),
  )
}
