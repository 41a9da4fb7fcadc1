import type { Machine } from "../vmm/machine.ts"
import type { Frozen, SnapshotParts } from "../vmm/snapshot.ts"
import type { Lineage, WrittenChain } from "./record.ts"
import { writtenDisk } from "./written-disks.ts"

/** What a snapshot has turned: the first disk, if its guest can write to that, and further ones. */
type Turned = Pick<SnapshotParts, "disk" | "disks">

/** The lineage of the instance once its guest writes to other overlays; the same one if there are none. */
export function frozen(
  { directory }: { readonly directory: string },
  lineage: Lineage,
  { disk, disks = new Map() }: Turned,
): Lineage {
  if (!disk && disks.size === 0) return lineage
  const further = [...disks].map(([name, one]) => ({
    name,
    ...frozenChain(writtenDisk(directory, lineage, name), one),
  }))
  const others = (lineage.disks ?? []).filter(({ name }) => !disks.has(name))
  return {
    ...lineage,
    ...(disk && frozenChain(lineage, disk)),
    ...(further.length > 0 && { disks: [...others, ...further] }),
  }
}

/**
 * `frozen` is written no more: it belongs to what was written since the base. So does what the record still takes for
 * the file that is written to, if it is another one: of a snapshot that was through when nobody could write that down
 * any more.
 */
function frozenChain({ overlays, top }: WrittenChain, { frozen, overlay }: Frozen): Required<WrittenChain> {
  const unnoted = top !== undefined && top !== frozen ? [top] : []
  return { overlays: [...overlays, ...unnoted, frozen], top: overlay }
}

interface Adopted {
  readonly directory: string
  readonly machine: Machine | undefined
  readonly lineage: Lineage | undefined
}

/** What the guest of an adopted machine writes to, where that is not what its record says; no more than that. */
export async function unnoted({ directory, machine, lineage }: Adopted): Promise<Turned> {
  if (!machine?.overlay || !lineage) return {}
  const [first, further = new Map<string, string>()] = await Promise.all([
    machine.overlay(),
    machine.furtherOverlays?.(),
  ])
  const { top } = lineage
  const disks = new Map<string, Frozen>()
  for (const [name, overlay] of further) {
    const { top } = writtenDisk(directory, lineage, name)
    if (top !== overlay) disks.set(name, { frozen: top, overlay })
  }
  const turned = top !== undefined && first !== undefined && top !== first
  return { ...(turned && { disk: { frozen: top, overlay: first } }), disks }
}
