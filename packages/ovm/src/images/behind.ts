import { machinesIn } from "../artifact/platforms/machines.ts"
import { hostPlatform } from "../artifact/platforms/platform.ts"
import {
  checkMachine,
  type FoundMachine,
  isIndex,
  machineBehind,
  readMachineIndex,
  type Sought,
} from "../artifact/platforms/read.ts"
import { type CopyOptions, copyGraph, type Destination, type Source } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Exister, Fetcher } from "../content/interfaces.ts"
import { bytesOf, fetchAll } from "../content/read.ts"

export interface WantedMachines extends Sought {
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
  { allPlatforms, ...sought }: WantedMachines,
): Promise<readonly FoundMachine[]> {
  if (!allPlatforms || !isIndex(root)) return [await machineBehind(source, root, sought)]
  const machines = machinesIn(await readMachineIndex(source, root, sought))
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

/** More than a host runs different ones of. */
const REMEMBERED = 64

/** What indexes led to, found out once: the digest of an index says it all. */
export class MachinesOfIndexes {
  /** By digest of the index, and platform. */
  readonly #known = new Map<string, FoundMachine>()

  /** `located` with the one machine where it is an index, whose content `store` has. Throws as machineBehind does. */
  async behind<T extends FoundMachine>(
    store: Fetcher & Exister,
    located: T,
    { platform, ...call }: Sought,
  ): Promise<T & FoundMachine> {
    if (located.index) return located
    const key = `${located.target.digest} ${platform ?? hostPlatform()}`
    const known = this.#known.get(key)
    if (known && (await store.exists(located.target, call))) return { ...located, ...known }
    const found = await machineBehind(store, located.target, { platform, ...call })
    if (this.#known.size >= REMEMBERED) this.#known.clear()
    if (found.index) this.#known.set(key, found)
    return { ...located, ...found }
  }
}
