import { rename, rm } from "node:fs/promises"
import type { Artifact } from "../artifact/machine/read.ts"
import { isSnapshot, type Snapshot } from "../artifact/snapshot/read.ts"
import { type SnapshotSource, writeSnapshot } from "../artifact/snapshot/write.ts"
import type { Cache } from "../cache/cache.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { fetchAll } from "../content/read.ts"
import { OvmError } from "../errors.ts"
import { changedPages } from "../ram/changed.ts"
import { compressRam } from "../ram/compress.ts"
import { memoryDigestOf, ramDerivation } from "../ram/derive.ts"
import { type Chain, chainOf, localFile, virtualSizeOf } from "./machine.ts"
import type { PreparedSnapshot } from "./prepared.ts"
import { preparedDisk } from "./snapshot-disk.ts"

const RECIPE = "ram"

/**
 * Makes everything of `snapshot` local, as files that a VMM may open: RAM inflated, once on a host, and held for
 * `holder`; device state and overlays verified, the latter as one chain with the layers of `base`. Throws as machineOf
 * and inflateRam do.
 */
export async function prepareSnapshot(
  { store, cache }: { readonly store: LayoutStore; readonly cache: Cache },
  snapshot: Snapshot,
  base: Base,
  options: Call & { readonly holder: string },
): Promise<PreparedSnapshot> {
  const { descriptor, snapshot: facts, overlays } = snapshot
  const blob = await localFile(store, base.reference, snapshot.ram, options)
  const { ref, compression, size, digest } = facts.ram
  const ram = await cache.get(
    { recipe: RECIPE, digest },
    ramDerivation(blob, {
      ref,
      compression,
      size,
      digest,
      blobSize: snapshot.ram.size,
      table: async () => snapshot.table && fetchAll(store, snapshot.table, snapshot.table.size, options),
    }),
    { ...options, source: ref },
  )
  const { reference } = base
  const chain = await chainOf({ store, reference }, overlays, options, base.chain)
  const disks = await Promise.all(
    snapshot.disks.map((written) => preparedDisk({ store, reference }, base.disks, written, options)),
  )
  return {
    descriptor: facts,
    digest: descriptor.digest,
    ram,
    state: await localFile(store, base.reference, snapshot.state, options),
    layers: chain.files,
    virtualSize: virtualSizeOf(chain),
    overlays: overlays.map((overlay) => overlay.descriptor),
    disks,
  }
}

/** The machine that a snapshot is of, as files. */
interface Base {
  readonly reference: string
  readonly chain: Chain
  /** Those beside its first. */
  readonly disks: Artifact["disks"]
}

/** What a VMM left of a machine at one instant, as files, and what is known of them. */
export interface TakenSnapshot extends Omit<SnapshotSource, "ram" | "state" | "overlays"> {
  /** Id of the instance. */
  readonly lease: string
  /** Sparse RAM; it is moved away. */
  readonly ramFile: string
  readonly stateFile: string
  readonly compression: "zstd" | "lz4"
  /** The memory digest of the RAM of `parent`. */
  readonly parentRam?: Digest
  /** Of the RAM (OVMS-SNP-025). */
  readonly hints: { readonly preload_hint?: boolean; readonly mlock_required?: boolean }
  /** Overlays of earlier snapshots, which the store has, then the file of the newest. */
  readonly overlays: SnapshotSource["overlays"]
}

/**
 * Stores `taken` as a snapshot without a name, its RAM compressed, and gives the descriptor of its OCI manifest. Throws
 * what compressRam and writeSnapshot throw.
 */
export async function storeSnapshot(
  store: LayoutStore,
  cache: Cache,
  taken: TakenSnapshot,
  call: Call,
): Promise<Descriptor> {
  const { ramFile, stateFile, compression, parentRam, hints, lease: _, ...source } = taken
  const into = `${ramFile}.${compression}`
  try {
    const ram = await compressRam(ramFile, { into, compression, ...call })
    // Where this host has the parent's RAM still: as a rule, since the clone maps it.
    const before = parentRam && (await cache.peek({ recipe: RECIPE, digest: parentRam }))
    const changed = before && (await changedPages(ramFile, before, call))
    const descriptor = await writeSnapshot(
      store,
      { ...source, ram: { ...ram, ...hints, ...(changed && { changed }) }, state: stateFile },
      call,
    )
    // Only a head start: where it cannot be had, as on another file system, the first resume inflates the RAM.
    const kept = cache.get(
      { recipe: RECIPE, digest: ram.digest },
      {
        make: (path) => rename(ramFile, path),
        verify: async (path, call) => (await memoryDigestOf(path, ram.size, call)) === ram.digest,
      },
      { ...call, source: ram.blob.digest },
    )
    await kept.catch(() => {})
    return descriptor
  } finally {
    await rm(into, { force: true })
  }
}

/**
 * Throws OVM_STATE_CONFLICT where `name` stands for anything but a snapshot: a name that stands for a machine is not
 * taken away from it (spec/runtime-api.md).
 */
export async function refuseOther(store: LayoutStore, name: string, call: Call): Promise<void> {
  const target = await targetOf(store, name, call)
  if (target === undefined || (await isSnapshot(store, target, call))) return
  throw new OvmError("OVM_STATE_CONFLICT", `${name} is not a snapshot, and is not overwritten by one`, {
    detail: { reference: name },
    hint: "take another tag",
  })
}

/** What the name stands for here, if for anything. */
async function targetOf(store: LayoutStore, name: string, call: Call): Promise<Descriptor | undefined> {
  return await store.resolve(name, call).catch((thrown: unknown) => {
    if (thrown instanceof OvmError && thrown.code === "OVM_NAME_UNKNOWN") return undefined
    throw thrown
  })
}
