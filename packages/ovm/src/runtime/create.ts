import type { Call } from "../content/interfaces.ts"
import { createOverlay } from "../disk/overlay.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { type Admission, accept } from "./admission.ts"
import { conflict } from "./conflict.ts"
import { firstOverlay } from "./disks.ts"
import type { Ending, Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { CreateAnswer, StartRequest } from "./interfaces.ts"
import { outlive } from "./outlive.ts"
import type { PlanContext, Planned } from "./plan.ts"
import { factsOf, prepareStart } from "./prepare.ts"

interface CreateContext extends PlanContext {
  readonly admission: Admission
  readonly ending: Ending
  readonly told: Log
}

/**
 * Makes an instance that a start finds as it finds one that has ended: with its content held, all checked, and an empty
 * disk of its own (OVMS-API-170). Its content has to be local. Throws what a start can throw, OVM_UNSUPPORTED for a
 * snapshot, OVM_STATE_CONFLICT where it was stopped or removed meanwhile; then nothing is left of it.
 */
export async function createInstance(
  { admission, ending, ...context }: CreateContext,
  request: StartRequest,
  call: Call,
): Promise<CreateAnswer> {
  refuseResume(request)
  // It is on record, and does not run.
  const limits = { ...admission.limits, running: Number.POSITIVE_INFINITY }
  const instance = accept({ ...admission, limits }, crypto.randomUUID(), request)
  try {
    instance.create()
    const { signal } = instance.starting
    const signals = call.signal ? AbortSignal.any([call.signal, signal]) : signal
    await ready(instance, await planned(context, instance, request, { signal: signals }))
    for (const state of ["starting", "stopped"]) context.told(state, instance, {})
    return { instance_id: instance.id, status: instance.state }
  } catch (thrown) {
    const { id, state, removing } = instance
    const met = state === "stopping" || removing || admission.instances.get(id) !== instance
    const error = met ? conflict(instance, "was stopped while it was made", thrown) : toOvmError(thrown)
    await instance.fail(error)
    await ending.forget(instance).catch(() => {})
    throw error
  }
}

async function planned(
  context: PlanContext,
  { id, directory }: Instance,
  { manifest, overrides = {} }: StartRequest,
  call: Call,
): Promise<Planned> {
  const { limits, defaults } = context
  const wanted = { ...overrides, resume: false }
  const volumes = await context.volumes.plan(overrides)
  const launch = { id, directory, overrides: wanted, volumes, consoleLimit: limits.console, defaults }
  const planned = await prepareStart(context, launch, manifest, { pull: "never", ...call })
  const { image } = planned
  if (image.digest !== image.base.digest && overrides.resume === undefined)
    throw unsupported(`${image.reference} is a snapshot, and goes on when it is started`)
  return planned
}

/** The disk is there before anything is started: whatever becomes of the first start, the next one finds it. */
async function ready(instance: Instance, planned: Planned): Promise<void> {
  const { base } = planned.image
  const { disk } = planned.plan
  const top = disk?.writable ? firstOverlay(instance.directory) : undefined
  if (top !== undefined && disk) await createOverlay(top, disk.size)
  instance.lineage = { base, overlays: [], ...(top !== undefined && { top }) }
  await instance.become("stopped", factsOf(planned), { record: "written" })
  await outlive(instance)
}

function refuseResume({ overrides }: StartRequest): void {
  if (overrides?.resume) throw unsupported("a machine that goes on from a snapshot goes on at once")
}

function unsupported(why: string): OvmError {
  return new OvmError("OVM_UNSUPPORTED", `${why}: it cannot be made without starting it`, {
    detail: [{ pointer: "/manifest", reason: "it goes on from a snapshot" }],
    hint: "ovm run --detach, or --no-resume to have it boot",
  })
}
