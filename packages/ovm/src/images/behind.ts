import { machinesIn } from "../artifact/platforms/machines.ts"
import {
  checkMachine,
  type Found,
  isIndex,
  machineBehind,
  readIndex,
  type Sought,
} from "../artifact/platforms/read.ts"
import { type CopyOptions, copyGraph, type Destination, type Source } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Fetcher } from "../content/interfaces.ts"
import { bytesOf, fetchAll } from "../content/read.ts"

export interface Wanted extends Sought {
  /** Of an index every machine, and not that of one platform. */
  readonly allPlatforms?: boolean
}

/**
 * The machines, or the one snapshot, that `root` leads to. Throws what machineBehind and checkMachine throw, before
 * anything is copied.
 */
export async function machinesBehind(
  source: Fetcher,
  root: Descriptor,
  { allPlatforms, ...sought }: Wanted,
): Promise<readonly Found[]> {
  if (!allPlatforms || !isIndex(root)) return [await machineBehind(source, root, sought)]
  const machines = machinesIn(await readIndex(source, root, sought))
  for (const machine of machines) await checkMachine(source, machine, sought)
  return machines.map(({ descriptor }) => ({ target: descriptor, index: root }))
}

/**
 * Stores an index by itself, behind those of its machines that were wanted (OVMS-IDX-023), and with `includeReferrers`
 * what refers to it.
 */
export async function copyIndex(
  source: Source,
  index: Descriptor,
  store: Destination,
  options: CopyOptions,
): Promise<void> {
  const { signal } = options
  const call = signal ? { signal } : {}
  await store.push(index, bytesOf(await fetchAll(source, index, undefined, call)), call)
  if (!options.includeReferrers || !source.referrers) return
  for await (const referrer of source.referrers(index, call))
    await copyGraph(source, referrer, store, options)
}
