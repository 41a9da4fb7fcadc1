import { statSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { ownMemory } from "../../host/memory.ts"
import type { Loaded } from "../../vmm/loader.ts"
import type { PlanContext, Planned } from "../plan.ts"
import { prepareStart } from "../prepare.ts"
import { createDirectory } from "../record.ts"

export interface SlotContext extends PlanContext {
  readonly instances: string
}

/**
 * An instance in waiting: loaded, paused, with the id, directory, overlay, lease and generation ID that the instance
 * will have. It has no record yet, so whatever a crash leaves of it is swept by the next daemon (runtime/record.ts).
 */
export interface Slot {
  readonly id: string
  readonly planned: Planned
  readonly loaded: Loaded
  /** Bytes that it takes while it waits: nearly all of the guest's memory is shared with all others until it runs. */
  readonly memory: number
  /**
   * True as long as the VMM's program is the one that was started, and the policy admits the snapshot by the name it
   * was loaded by.
   */
  current(): boolean
  /** Ends the process and leaves nothing of it. */
  discard(): Promise<void>
}

/** Loads the local snapshot called `reference`. Throws what a start of it can throw, and leaves nothing behind then. */
export async function makeSlot(context: SlotContext, reference: string, call: Call): Promise<Slot> {
  const { instances, images, limits, defaults } = context
  const id = crypto.randomUUID()
  const directory = join(instances, id)
  const forget = async () => {
    await images.release(id)
    await rm(directory, { recursive: true, force: true })
  }
  try {
    createDirectory(directory)
    const request = { id, directory, overrides: {}, consoleLimit: limits.console, defaults }
    const planned = await prepareStart(context, request, reference, { pull: "never", ...call })
    const { image, capabilities, load } = planned
    if (!load) throw new OvmError("OVM_UNSUPPORTED", `${reference} is not a snapshot any more`)
    const program = identityOf(capabilities.binary)
    const loaded = await load(call)
    return {
      id,
      planned,
      loaded,
      memory: (await ownMemory(loaded.record.pid)) ?? planned.plan.resources.memory,
      current: () =>
        program !== undefined &&
        identityOf(capabilities.binary) === program &&
        images.isAdmitted(image.reference, planned),
      discard: () => loaded.discard().finally(forget),
    }
  } catch (error) {
    await forget()
    throw toOvmError(error)
  }
}

/**
 * Another package of the same version is another program. Not asynchronous, as between a look and a start nothing may
 * happen.
 */
function identityOf(binary: string): string | undefined {
  const found = statSync(binary, { throwIfNoEntry: false })
  return found && `${found.dev}:${found.ino}:${found.size}:${found.mtimeMs}`
}
