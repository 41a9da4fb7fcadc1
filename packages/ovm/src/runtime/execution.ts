import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { textsOf } from "../guest/agent/command.ts"
import type { AgentStream, OutputPiece } from "../guest/agent/stream.ts"
import { agentInside } from "./agents.ts"
import type { Instance } from "./instance.ts"
import type { ExecEnd, ExecRequest } from "./interfaces.ts"

/** A command that runs in a guest. */
export interface Execution {
  readonly stream: AgentStream
  output(): AsyncGenerator<OutputPiece>
  /** How it ended, once all of `output` was read. Throws OVM_AGENT_UNAVAILABLE, OVM_UNSUPPORTED. */
  end(): Promise<ExecEnd>
}

/**
 * Begins a command. It is ended when its time is over, or the call is aborted. Throws what agentInside and
 * AgentSession.do throw.
 */
export async function beginCommand(
  instance: Instance,
  request: ExecRequest,
  { signal, input }: Call & { readonly input: boolean },
): Promise<Execution> {
  const { timeout_ms, wait_ms, ...command } = request
  const session = await agentInside(instance, {
    ...(signal && { signal }),
    ...(wait_ms !== undefined && { withinMs: wait_ms }),
  })
  const environment = environmentIn(instance, command.environment)
  const stream = session.do(textsOf({ ...command, environment, input }))
  let timedOut = false
  const timer =
    timeout_ms !== undefined &&
    setTimeout(() => {
      timedOut = true
      stream.kill()
    }, timeout_ms)
  if (signal) endOn(stream, signal)
  stream.ending
    .catch(() => {})
    .finally(() => {
      if (timer) clearTimeout(timer)
    })
  return {
    stream,
    output: () => stream.output(),
    end: async () => endOf(await stream.ending, timedOut),
  }
}

/** Ends what an agent does once `signal` is aborted. */
export function endOn(stream: AgentStream, signal: AbortSignal): void {
  const leave = () => stream.leave()
  if (signal.aborted) leave()
  signal.addEventListener("abort", leave, { once: true })
  stream.ending.catch(() => {}).finally(() => signal.removeEventListener("abort", leave))
}

const FORK_INDEX = "OVMS_FORK_INDEX"

/** One child of a fork is told from another by its index (OVMS-API-444). The request has the last word. */
function environmentIn({ info: { fork } }: Instance, asked: readonly string[] = []): readonly string[] {
  const said = asked.some((variable) => variable.startsWith(`${FORK_INDEX}=`))
  return fork && !said ? [`${FORK_INDEX}=${fork.index}`, ...asked] : asked
}

function endOf(ending: Awaited<AgentStream["ending"]>, timedOut: boolean): ExecEnd {
  if ("refused" in ending)
    throw new OvmError("OVM_UNSUPPORTED", `the agent does not do that: ${ending.refused}`)
  const signal = "signal" in ending ? ending.signal : undefined
  return {
    exit_code: "status" in ending ? ending.status : 128 + ending.signal,
    ...(signal !== undefined && { signal }),
    ...(timedOut && { timed_out: true }),
  }
}
