import { type DependsCondition, dependenciesOf } from "../../compose/project.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError } from "../../errors.ts"
import type { InstanceInfo, Runtime } from "../../runtime/interfaces.ts"
import { hasEnded } from "../../runtime/states.ts"
import { endOf, refuseBadEnd } from "../end.ts"
import { isRestarting, waitFor } from "../instances.ts"
import { untilUp } from "../launch.ts"
import { stopped } from "../stop.ts"
import { untilHealthy } from "./health.ts"
import { LABELS, type Member, membersOf } from "./labels.ts"
import { ofMachine } from "./of-machine.ts"
import { type Action, actionFor } from "./plan.ts"
import type { Tell } from "./report.ts"
import type { WantedMachine } from "./wanted.ts"

const DONE = { make: "made", keep: "kept", start: "started", replace: "replaced" } as const

/** What became of one machine: `info` once it runs, or why it does not. */
export interface UpOutcome {
  readonly machine: string
  readonly action: (typeof DONE)[Action["kind"]]
  readonly info?: InstanceInfo
  /** A thing itself that failed; not of one that waited for another. */
  readonly error?: unknown
}

interface UpOptions extends Call {
  readonly members: ReadonlyMap<string, Member>
  readonly tell: Tell
  /** Until those are healthy that have a check, and not only those that others wait for. */
  readonly wait?: boolean
}

class Blocked extends Error {}
/** What it waited for has run, and ended badly: nobody else says so. */
class Unfinished extends Error {}

/**
 * Has each of `wanted` run, which are in the order of their dependencies and whole as to those: each as soon as what it
 * waits for is there, whatever becomes of the others. Settles when all has been tried. Aborting leaves what runs, and
 * what is on its way.
 */
export async function bringUp(
  runtime: Runtime,
  wanted: readonly WantedMachine[],
  options: UpOptions,
): Promise<readonly UpOutcome[]> {
  const { members, tell, wait = false, ...call } = options
  const running = new Map<string, Promise<InstanceInfo>>()
  const healthy = new Map<string, Promise<InstanceInfo>>()
  const wantedBy = new Map(wanted.map((one) => [one.machine, one]))

  /** Asked for once, however many wait for it. */
  const whenHealthy = (machine: string): Promise<InstanceInfo> => {
    const known = healthy.get(machine)
    if (known) return known
    const begun = (async () => {
      const info = await (running.get(machine) as Promise<InstanceInfo>)
      const check = wantedBy.get(machine)?.entry.healthcheck ?? {}
      const { instance_id: id } = info
      const now = await untilHealthy(runtime, id, check, call).catch((thrown) => {
        throw ofMachine(thrown, { machine, id })
      })
      tell(machine, "healthy")
      return now
    })()
    begun.catch(() => {})
    healthy.set(machine, begun)
    return begun
  }

  const there = async (machine: string, condition: DependsCondition): Promise<void> => {
    if (condition === "service_healthy") await whenHealthy(machine)
    const info = await running.get(machine)
    if (condition === "service_completed_successfully" && info)
      await completed(runtime, info, call).catch((cause) => {
        throw new Unfinished(machine, { cause })
      })
  }

  const begin = async (one: WantedMachine, action: Action): Promise<InstanceInfo> => {
    for (const [other, condition] of dependenciesOf(one.entry))
      await there(other, condition).catch((cause) => {
        call.signal?.throwIfAborted()
        tell(one.machine, `not started: it needs ${other}`)
        if (cause instanceof Unfinished) throw cause.cause
        throw new Blocked(other, { cause })
      })
    call.signal?.throwIfAborted()
    const info = await carryOut(runtime, one, action, { tell, ...call })
    tell(one.machine, action.kind === "keep" ? "runs" : DONE[action.kind])
    return info
  }

  const actions = wanted.map((one) => ({ one, action: actionFor(one, members.get(one.machine)) }))
  for (const { one, action } of actions) {
    const begun = begin(one, action)
    begun.catch(() => {})
    running.set(one.machine, begun)
  }
  return await Promise.all(
    actions.map(async ({ one: { machine, entry }, action }): Promise<UpOutcome> => {
      const outcome = { machine, action: DONE[action.kind] }
      try {
        const info = await (running.get(machine) as Promise<InstanceInfo>)
        if (healthy.has(machine) || (wait && entry.healthcheck)) await whenHealthy(machine)
        return { ...outcome, info }
      } catch (error) {
        return { ...outcome, ...(!(error instanceof Blocked) && { error }) }
      }
    }),
  )
}

async function carryOut(
  runtime: Runtime,
  one: WantedMachine,
  action: Action,
  { tell, ...call }: Call & { readonly tell: Tell },
): Promise<InstanceInfo> {
  const { machine } = one
  const status = async (id: string) => {
    try {
      await untilUp(runtime, id, call)
      return await runtime.status(id, call)
    } catch (thrown) {
      throw ofMachine(thrown, { machine, id })
    }
  }
  if (action.kind === "make") return await status(await made(runtime, one, call))
  const { found } = action
  const { instance_id: id } = found
  if (action.kind === "keep") {
    if (found.state === "paused") await runtime.resume(id, call)
    return await status(id)
  }
  if (action.kind === "start") {
    await waitFor(runtime, id, ({ state }) => state !== "stopping", call)
    return await status((await runtime.startAgain(id, call)).instance_id)
  }
  tell(machine, "is defined otherwise now: it is made anew, with a new disk; its volumes are kept")
  if (!hasEnded(found.state)) await stopped(runtime, found, undefined)
  await runtime.remove(id, { force: true, ...call })
  return await status(await made(runtime, one, call))
}

/** Starts it, and gives its id: that of another `ovm up` of the same file, where that was first. */
async function made(runtime: Runtime, { machine, request }: WantedMachine, call: Call): Promise<string> {
  try {
    return (await runtime.start(request, call)).instance_id
  } catch (thrown) {
    if (!(thrown instanceof OvmError)) throw thrown
    // Its name, a volume or a port is in use then.
    const { [LABELS.project]: project = "", [LABELS.definition]: definition } =
      request.overrides?.labels ?? {}
    const other = (await membersOf(runtime, project)).get(machine)
    if (!other || other.definition !== definition) throw thrown
    return other.info.instance_id
  }
}

/** Waits for the end of a machine. Throws if that was none that its guest had chosen. */
async function completed(runtime: Runtime, { instance_id }: InstanceInfo, call: Call): Promise<void> {
  const over = (info: InstanceInfo) => hasEnded(info.state) && !isRestarting(info)
  const info = await waitFor(runtime, instance_id, over, call)
  if (info.exit?.reason === "result") throw new OvmError("OVM_STATE_CONFLICT", `${info.name} ${endOf(info)}`)
  refuseBadEnd(info)
  if (info.stop_method === undefined || info.stop_method === "guest") return
  throw new OvmError("OVM_STATE_CONFLICT", `${info.name} was stopped before it was done`)
}
