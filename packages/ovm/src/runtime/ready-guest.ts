import type { Call } from "../content/interfaces.ts"
import { OvmError, toOvmError } from "../errors.ts"
import { freezeGuest } from "../guest/agent/freeze.ts"
import { runHooks } from "../guest/agent/hooks.ts"
import type { AgentSession } from "../guest/agent/session.ts"
import { agentInside } from "./agents.ts"
import { execToEnd } from "./exec.ts"
import type { Instance } from "./instance.ts"
import type { SnapshotRequest } from "./interfaces.ts"

/** How long an agent that nothing is asked of may take to say that it is there. */
const ANSWER_MS = 5000
/** How long a command before a snapshot may take. */
const COMMAND_MS = 300_000
/** Shown of what a command says when it fails. */
const MOST_WORDS = 500

type Wanted = Pick<SnapshotRequest, "exec_before" | "freeze" | "stop">

/** What was taken, and why it is not what was asked for all the same. */
interface Taken<T> {
  readonly taken: T
  readonly fault?: OvmError
}

/**
 * Has a guest made ready for its snapshot, the snapshot taken, and the guest told that it was: by the command that was
 * asked for, hooks of the guest's own, and a freeze. A guest that does not come to be ready is OVM_GUEST_NOT_READY:
 * then nothing was taken. Throws OVM_AGENT_UNAVAILABLE and OVM_UNSUPPORTED of what was asked for, and what `take`
 * throws.
 */
export async function whileReady<T>(
  instance: Instance,
  wanted: Wanted,
  take: () => Promise<T>,
  call: Call,
): Promise<Taken<T>> {
  const { exec_before, freeze = false, stop = false } = wanted
  const asked = exec_before !== undefined || freeze
  // One that nothing is asked of need not be there.
  const session = asked ? await agentInside(instance, call) : await answering(instance)
  if (!session) return { taken: await take() }
  if (exec_before) await runBefore(instance, exec_before, call)
  const { name } = instance.info
  try {
    const { trouble } = await runHooks(session, "pre-snapshot", name)
    if (trouble !== undefined) throw notReady(trouble)
    return freeze ? await whileFrozen(session, take, stop) : { taken: await take() }
  } finally {
    if (!stop) instance.agent?.tell("post-snapshot", name)
  }
}

/** Its agent, if it says just now that it is there: a machine whose agent hangs is snapshotted without its hooks. */
async function answering({ agent, state }: Instance): Promise<AgentSession | undefined> {
  const session = state === "running" ? agent?.current : undefined
  return (await session?.answers(ANSWER_MS)) ? session : undefined
}

async function runBefore(instance: Instance, command: readonly string[], call: Call): Promise<void> {
  const end = await execToEnd(instance, { command: [...command], timeout_ms: COMMAND_MS }, call)
  if (end.exit_code === 0) return
  const how = end.timed_out ? `took longer than ${COMMAND_MS / 1000} s` : `ended with status ${end.exit_code}`
  const words = end.stderr.slice(0, MOST_WORDS).trim()
  throw notReady(`${command.join(" ")} ${how}${words ? `: ${words}` : ""}`)
}

/** A freeze that is over too early is known once it was taken: its machine writes to another file by then. */
async function whileFrozen<T>(
  session: AgentSession,
  take: () => Promise<T>,
  stop: boolean,
): Promise<Taken<T>> {
  using freeze = await freezeGuest(session).catch((thrown) => {
    const { code, message } = toOvmError(thrown)
    throw code === "OVM_AGENT_UNAVAILABLE" ? thrown : notReady(message)
  })
  const taken = await take()
  // One that is ended stands still, and its time with it.
  if (stop || (await freeze.held())) return { taken }
  return { taken, fault: notReady("its file systems were not frozen any more when it was taken") }
}

function notReady(why: string): OvmError {
  return new OvmError("OVM_GUEST_NOT_READY", `the guest is not ready for a snapshot: ${why}`)
}
