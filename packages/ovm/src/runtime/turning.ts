import { rmSync } from "node:fs"
import { isWrittenTo } from "../disk/overlay.ts"
import { spent } from "../vmm/process/attempt.ts"
import type { InstantSink } from "../vmm/snapshot.ts"
import { frozen } from "./frozen.ts"
import type { Lineage } from "./record.ts"
import { writtenDisk } from "./written-disks.ts"

// While an instant of a machine is taken, its guest begins to write to other files, when exactly only its VMM knows.
// Where all ends before that is written down, as with a host that loses power, the files tell (OVMS-SNP-180): what a
// guest has not written to is empty, and what a VMM takes back it takes away.

/** The lineage of a machine of which an instant is going to be taken into `sink`. */
export function turning(lineage: Lineage, { overlay, disks = new Map(), last }: InstantSink): Lineage {
  if (last || (lineage.top === undefined && disks.size === 0)) return lineage
  const further = Array.from(disks, ([name, overlay]) => ({ name, overlay }))
  const first = lineage.top !== undefined && overlay !== undefined && { overlay }
  return { ...lineage, turning: { ...first, disks: further } }
}

/** The lineage of a machine whose guest writes where its VMM says. */
export function turnedBack(lineage: Lineage): Lineage {
  const { turning, ...others } = lineage
  return turning ? others : lineage
}

/**
 * The lineage of a machine that has ended: on top is what its guest wrote to last. What it did not write to is removed.
 */
export function turned(directory: string, lineage: Lineage): Lineage {
  const { overlay, disks = [] } = lineage.turning ?? {}
  const { top } = lineage
  const first = overlay !== undefined && isUsed(overlay) && top !== undefined && { frozen: top, overlay }
  const further = disks
    .filter(({ overlay }) => isUsed(overlay))
    .map(({ name, overlay }) => {
      const { top } = writtenDisk(directory, lineage, name)
      return [name, { frozen: top, overlay }] as const
    })
  return frozen({ directory }, turnedBack(lineage), {
    ...(first && { disk: first }),
    disks: new Map(further),
  })
}

/** Whether it is on top of its disk; if not, it is removed. What cannot be removed stays, and is nobody's. */
function isUsed(path: string): boolean {
  const used = mayBeWritten(path)
  for (const one of used ? [spent(path)] : [path, spent(path)])
    try {
      rmSync(one, { force: true })
    } catch {
      // It goes with the instance.
    }
  return used
}

/** One that cannot be read is: a start says so then. */
function mayBeWritten(path: string): boolean {
  try {
    return isWrittenTo(path)
  } catch {
    return true
  }
}
