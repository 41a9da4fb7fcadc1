import { existsSync } from "node:fs"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { OpenImage } from "../../images/open.ts"
import { rounded } from "../../rounded.ts"
import type { Admission } from "../admission.ts"
import { firstRequest } from "../again.ts"
import { type Instant, planFromInstant } from "../from-instant.ts"
import type { Instance } from "../instance.ts"
import { givenUp, takable, takeInstant } from "../instant.ts"
import type { ForkAnswer, ForkRequest } from "../interfaces.ts"
import type { Planned } from "../plan.ts"
import { factsOf } from "../prepare.ts"
import { removeLeftovers, removeScratch, sinkOf } from "../scratch.ts"
import { lineageOf } from "../snapshot.ts"
import type { Starts } from "../start.ts"
import type { StartsContext } from "../starts-context.ts"
import { refuseSuspended } from "../suspended.ts"
import { admitChildren, holdForChild } from "./children.ts"
import { shareInstant } from "./files.ts"
import { childNetwork } from "./network.ts"

export interface ForkContext
  extends Pick<
    StartsContext,
    | "instances"
    | "running"
    | "limits"
    | "defaults"
    | "images"
    | "vmms"
    | "chosenPorts"
    | "onInstance"
    | "ending"
  > {
  readonly starts: Pick<Starts, "assertAllowed" | "carry">
}

/**
 * POST /instances/{id}/fork (spec/runtime-api.md): one instant of the machine, which goes on, and children that go on
 * from it (docs/design/0057). Throws what takable and a start throw, and OVM_RESUME_DENIED; then there is no child.
 */
export async function forkInstance(
  context: ForkContext,
  source: Instance,
  request: ForkRequest,
  { signal }: Call,
): Promise<ForkAnswer> {
  const received = performance.now()
  context.starts.assertAllowed()
  const found = takable(source)
  refuseOnce(source)
  const children = admitChildren(admissionOf(context), source, request)
  const over = Promise.withResolvers<void>()
  source.snapshotting = over.promise
  const { removed } = source
  const call = { signal: signal ? AbortSignal.any([signal, removed.signal]) : removed.signal }
  try {
    for (const child of children) {
      context.onInstance(child)
      child.create()
    }
    await refuseSuspended(source)
    const taken = await takeInstant(source, found, sinkOf(source, found.lineage), { ...call, held: false })
    // It shares its random state with its children (OVMS-AGT-055).
    source.agent?.renew()
    const { origin, boot, timings } = taken.parts
    const instant = { origin, ...(boot && { boot }), lineage: taken.lineage }
    const plans = await planAll(context, source, { children, instant }, call)
    for (const child of children) await child.enrol()
    children.forEach((child, at) => {
      const planned = plans[at]
      if (planned) context.starts.carry(child, received, async () => planned)
    })
    return {
      instances: children.map(({ id, info: { name } }, index) => ({ instance_id: id, name, index })),
      timings_ms: { paused: rounded(timings.paused), total: rounded(performance.now() - received) },
    }
  } catch (thrown) {
    const error = toOvmError(thrown)
    await Promise.all(children.map((child) => giveUp(context, child, error)))
    throw givenUp(source, error, "it was forked")
  } finally {
    await removeScratch(source)
    source.snapshotting = undefined
    over.resolve()
  }
}

function admissionOf({ instances, running, limits, defaults }: ForkContext): Admission {
  return { folder: instances, instances: running, limits, defaults }
}

/** Each child would be one more that goes on from what may be gone on from once. */
function refuseOnce({ id, lineage }: Instance): void {
  if (lineage?.policy?.multi_resume !== "deny") return
  throw new OvmError(
    "OVM_RESUME_DENIED",
    `instance ${id} goes on from a snapshot that may be resumed once: it has no children`,
  )
}

/** The source holds the image, which is opened once for all. */
async function planAll(
  context: ForkContext,
  source: Instance,
  { children, instant }: { readonly children: readonly Instance[]; readonly instant: Instant },
  call: Call,
): Promise<readonly Planned[]> {
  const { manifest } = firstRequest(source)
  const opened = await context.images.openAgain(manifest, instant.lineage, { lease: source.id, ...call })
  try {
    const plans: Planned[] = []
    // One after the other: no two are given the same port.
    for (const child of children) {
      const planned = await planChild(context, child, { source, opened, instant }, call)
      plans.push({ ...planned, go: (call) => begun(child, planned.go(call)) })
    }
    return plans
  } finally {
    await opened.close()
  }
}

interface Common {
  readonly source: Instance
  readonly opened: OpenImage
  readonly instant: Instant
}

async function planChild(
  context: ForkContext,
  child: Instance,
  { source, opened, instant }: Common,
  call: Call,
): Promise<Planned> {
  const { limits, defaults, chosenPorts } = context
  const { id, directory } = child
  const { args: _, diskSize: __, ...overrides } = firstRequest(child).overrides ?? {}
  const own = await shareInstant(instant, directory)
  const network = await childNetwork(source.info.network ?? {}, overrides, chosenPorts)
  const request = { id, directory, overrides, consoleLimit: limits.console, defaults }
  const planned = await planFromInstant({ opened, request, network, instant: own }, context, call)
  child.lineage = lineageOf(planned)
  await holdForChild(opened, child)
  const { image: ___, ...facts } = factsOf(planned)
  child.note(facts)
  return planned
}

/** A VMM that has RAM and state needs their names no more, nor does one that could not take them. */
async function begun<T>({ directory }: Instance, going: Promise<T>): Promise<T> {
  try {
    return await going
  } finally {
    await removeLeftovers(directory)
  }
}

/** Nothing of it is left. */
async function giveUp({ ending, running }: ForkContext, child: Instance, error: OvmError): Promise<void> {
  if (!existsSync(child.directory)) return void running.delete(child.id)
  await child.fail(error)
  await ending.forget(child).catch(() => running.delete(child.id))
}
