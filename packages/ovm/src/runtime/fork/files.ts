import { link } from "node:fs/promises"
import { join } from "node:path"
import { toOvmError } from "../../errors.ts"
import type { Instant } from "../from-instant.ts"

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
  const { top: _, ...others } = lineage
  return {
    origin: {
      ...origin,
      ram: { path: await shared(origin.ram.path, RAM) },
      state: await shared(origin.state, STATE),
    },
    ...(boot && { boot }),
    lineage: {
      ...others,
      overlays: await Promise.all(
        lineage.overlays.map((one, at) => (typeof one === "string" ? shared(one, `below-${at}.qcow2`) : one)),
      ),
    },
  }
}
