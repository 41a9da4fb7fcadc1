import { toOvmError } from "../errors.ts"
import type { Machine } from "../vmm/machine.ts"
import { type Admission, accept } from "./admission.ts"
import { entryOf, type Instance } from "./instance.ts"
import type { StartAnswer, StartRequest } from "./interfaces.ts"
import { factsOf } from "./prepare.ts"
import { enteredAt, since } from "./report.ts"
import type { Claims } from "./resumed-once.ts"
import { lineageOf } from "./snapshot.ts"
import type { StartsContext } from "./starts-context.ts"
import { fits, type Letting, takingOf } from "./warm/fitting.ts"
import type { Slot } from "./warm/slot.ts"

/** What a start from a slot is made with. */
export interface WarmStarts extends StartsContext {
  readonly admission: Admission
  readonly claims: Claims
  /** Called with what runs, and when it was asked for. */
  readonly entered: (
    instance: Instance,
    machine: Machine,
    received: number,
    how: { readonly foreseen: boolean },
  ) => Promise<void>
}

/**
 * A start that a slot waits for is one command (spec/runtime-api.md, "POST /warm"). The record comes after the guest
 * runs and before the answer: without one, the next daemon ends it, and nobody was told. Undefined where there is no
 * slot, or none that lives: then the start takes the long way.
 */
export async function startWarm(
  starts: WarmStarts,
  request: StartRequest,
  received: number,
  transient: boolean,
): Promise<StartAnswer | undefined> {
  const { images, slots } = starts
  const { overrides = {} } = request
  const taking = takingOf(overrides, transient)
  if (!slots.ready || !taking) return undefined
  const found = await images.resolve(request.manifest)
  const resolve = since(received)
  const slot = found && slots.next(found.digest)
  // By this start's own name: that of the slot may be judged otherwise (OVMS-POL-085).
  if (!slot || !images.isAdmitted(found.reference, slot.planned)) return undefined
  if (!fits(slot, overrides)) return undefined
  const once = slot.planned.snapshot?.descriptor.uniqueness.multiResume === "deny"
  const release = once ? starts.claims.hold(found.digest) : undefined
  try {
    const instance = accept(starts.admission, slot.id, request, {
      ...factsOf(slot.planned),
      ...(taking.unlinked && { network: { mode: "none" } }),
      image: found,
      phase: "launching",
      timings_ms: { resolve },
    })
    instance.transient = transient
    starts.onInstance(instance)
    starts.told("starting", instance, {})
    return await take(starts, instance, slot, { ...taking, received })
  } finally {
    release?.()
  }
}

async function take(
  starts: WarmStarts,
  instance: Instance,
  slot: Slot,
  how: Letting,
): Promise<StartAnswer | undefined> {
  const { slots, running, told } = starts
  instance.lineage = lineageOf(slot.planned, slot.loaded.record)
  slots.take(slot)
  try {
    await letGo(starts, instance, slot, how)
    return { instance_id: instance.id, status: instance.state === "running" ? "running" : "starting" }
  } catch (thrown) {
    const error = toOvmError(thrown)
    told("slot failed", instance, { error: entryOf(error) })
    running.delete(instance.id)
    await instance.retire()
    // Whoever has asked for its end meanwhile waits for that.
    await slot.discard().finally(() => instance.fail(error))
    told("removed", instance, {})
    if (error.code === "OVM_RESUME_DENIED") throw error
    return undefined
  }
}

/** Where the guest may be resumed again, its record is written while it is let go. */
async function letGo(
  { entered }: WarmStarts,
  instance: Instance,
  { loaded, planned }: Slot,
  how: Letting,
): Promise<void> {
  const going = loaded.resume(how)
  const again = planned.snapshot?.descriptor.uniqueness.multiResume === "allow"
  const foreseen = again && instance.foresee(loaded.record, enteredAt(loaded.record))
  const [machine] = await Promise.all([going, foreseen])
  await entered(instance, machine, how.received, { foreseen: again })
}
