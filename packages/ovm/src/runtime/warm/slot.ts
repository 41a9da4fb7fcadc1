import { statSync } from "node:fs"
import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { createOverlay } from "../../disk/overlay.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { Images } from "../../images/images.ts"
import type { PreparedImage } from "../../images/prepared.ts"
import type { Loaded } from "../../vmm/interfaces.ts"
import type { Planned } from "../plan.ts"
import { type PlanContext, planImage } from "../plan-image.ts"
import { createDirectory } from "../record.ts"

export interface SlotContext extends PlanContext {
  readonly instances: string
  readonly images: Images
}

/**
 * An instance in waiting: loaded, paused, with the id, directory, overlay, lease and generation ID that the instance will have.
 * It has no record yet, so whatever a crash leaves of it is swept by the next daemon (runtime/record.ts).
 */
export interface Slot {
  readonly id: string
  readonly image: PreparedImage
  readonly planned: Planned
  readonly loaded: Loaded
  /** True as long as the VMM's program is the one that was started, and the policy admits the snapshot by the name it was loaded by. */
  current(): boolean
  /** Ends the process and leaves nothing of it. */
  discard(): Promise<void>
}

/** Loads the local snapshot called `reference`. Throws what a start of it can throw, and leaves nothing behind then. */
export async function makeSlot(context: SlotContext, reference: string, call: Call): Promise<Slot> {
  const { instances, images } = context
  const id = crypto.randomUUID()
  const directory = join(instances, id)
  const forget = async () => {
    await images.release(id)
    await rm(directory, { recursive: true, force: true })
  }
  try {
    createDirectory(directory)
    const image = await images.prepare(reference, { lease: id, pull: "never", ...call })
    const planned = await planImage(context, { id, directory }, image, {}, call)
    const { plan, virtualSize, capabilities, load } = planned
    if (!load) throw new OvmError("OVM_UNSUPPORTED", `${reference} is not a snapshot any more`)
    const program = identityOf(capabilities.binary)
    if (plan.disk?.overlay) await createOverlay(plan.disk.overlay, virtualSize)
    const loaded = await load(call)
    return {
      id,
      image,
      planned,
      loaded,
      current: () =>
        program !== undefined &&
        identityOf(capabilities.binary) === program &&
        images.isAdmitted(image.reference, image),
      discard: () => loaded.discard().finally(forget),
    }
  } catch (error) {
    await forget()
    throw toOvmError(error)
  }
}

/** Another package of the same version is another program. Not asynchronous, as between a look and a start nothing may happen. */
function identityOf(binary: string): string | undefined {
  const found = statSync(binary, { throwIfNoEntry: false })
  return found && `${found.dev}:${found.ino}:${found.size}:${found.mtimeMs}`
}
