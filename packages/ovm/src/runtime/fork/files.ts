import { link } from "node:fs/promises"
import { join } from "node:path"
import { toOvmError } from "../../errors.ts"
import type { Instant } from "../from-instant.ts"
import type { Lineage } from "../record.ts"

/** In a child's directory, under names that are removed once they are of no use (scratch.ts). */
const RAM = "snapshot-fork.ram"
const STATE = "snapshot-fork.state"

/**
 * Gives a child the files of an instant, under names of its own: one more hard link each. So nothing is copied, and
 * each is there for as long as one of them has it, in whatever order they go. Throws OVM_PERMISSION_DENIED,
 * OVM_NO_SPACE, OVM_HOST_FAILED.
 */
export async function shareInstant({ origin, boot, lineage }: Instant, directory: string): Promise<Instant> {
  const shared = async (path: string, name: string) => {
    const own = join(directory, name)
    await link(path, own).catch((thrown: unknown) => {
      throw toOvmError(thrown)
    })
    return own
  }
  const { top: _, disks = [], ...others } = lineage
  const chain = async (overlays: Lineage["overlays"], below: string) =>
    await Promise.all(
      overlays.map((one, at) => (typeof one === "string" ? shared(one, `${below}${at}.qcow2`) : one)),
    )
  const further = await Promise.all(
    disks.map(async ({ name, overlays }) => ({ name, overlays: await chain(overlays, `below-${name}.`) })),
  )
  return {
    origin: {
      ...origin,
      ram: { path: await shared(origin.ram.path, RAM) },
      state: await shared(origin.state, STATE),
    },
    ...(boot && { boot }),
    lineage: {
      ...others,
      overlays: await chain(lineage.overlays, "below-"),
      ...(further.length > 0 && { disks: further }),
    },
  }
}
