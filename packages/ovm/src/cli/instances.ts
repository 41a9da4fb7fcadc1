import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { hasEnded } from "../runtime/states.ts"
import { useDaemonOfInstances } from "./daemon.ts"

const SHORTEST_PREFIX = 4

/**
 * The state for people: with what is being done while it starts, why it stands still, whether it can be asked and
 * read, and whether all of it is there, as in `running (degraded: network)` and `failed (unreadable)`.
 */
export function stateOf({
  state,
  phase,
  reason,
  reachable,
  degraded,
  error,
  started,
  exit,
  restarting_at,
  auto_remove,
}: InstanceInfo): string {
  const unread = error?.code === "OVM_RECORD_UNREADABLE" ? "unreadable" : undefined
  const made = !unread && state === "stopped" && !started && !exit ? "never started" : undefined
  const leaving = auto_remove && hasEnded(state) ? "removing" : undefined
  const ended = restarting_at ? "restarting" : (made ?? leaving)
  const asked = unread ?? (reachable === false ? "unreachable" : undefined)
  const more = [phase ?? reason ?? ended, asked, degraded && `degraded: ${degraded.join(" and ")}`].filter(
    Boolean,
  )
  return more.length > 0 ? `${state} (${more.join(", ")})` : state
}

/**
 * The daemon and the instance that `text` means: its id, a prefix of the id of at least 4 digits that no other has,
 * or its name.
 */
export async function findInstance(text: string): Promise<{ runtime: Runtime; instance: InstanceInfo }> {
  const runtime = await useDaemonOfInstances()
  if (!runtime) throw unknown(text)
  return { runtime, instance: choose(await runtime.list(), text) }
}

/** Throws OVM_INSTANCE_UNKNOWN, or OVM_USAGE if `text` is a prefix of several ids. */
export function choose(instances: readonly InstanceInfo[], text: string): InstanceInfo {
  const exact =
    instances.find(({ instance_id }) => instance_id === text) ?? instances.find(({ name }) => name === text)
  if (exact) return exact
  const matches =
    text.length < SHORTEST_PREFIX ? [] : instances.filter((one) => one.instance_id.startsWith(text))
  const [only, ...others] = matches
  if (!only) throw unknown(text)
  if (others.length === 0) return only
  throw new OvmError("OVM_USAGE", `${text} is the start of ${matches.length} instance ids`, {
    hint: matches
      .map((one) => one.instance_id)
      .slice(0, 4)
      .join(", "),
  })
}

/** Whether it has ended, and is going to be started again by its restart policy. */
export function isRestarting({ restarting_at }: InstanceInfo): boolean {
  return restarting_at !== undefined
}

/** Whether the life of a machine that `before` is of has ended: somebody may have started it again in between. */
export function hasLeft(before: InstanceInfo): (now: InstanceInfo) => boolean {
  return (now) => hasEnded(now.state) || (before.started !== undefined && now.started !== before.started)
}

/** Asks again and again, ever more slowly, until `done`. Returns the status then. */
export async function waitFor(
  runtime: Runtime,
  id: string,
  done: (info: InstanceInfo) => boolean,
  call: Call = {},
): Promise<InstanceInfo> {
  for (let pause = 5; ; pause = Math.min(pause * 1.5, 200)) {
    const info = await runtime.status(id, call)
    if (done(info)) return info
    await sleep(pause, undefined, call)
  }
}

function unknown(text: string): OvmError {
  return new OvmError("OVM_INSTANCE_UNKNOWN", `there is no instance ${JSON.stringify(text.slice(0, 100))}`, {
    hint: "ovm ps --all",
  })
}
