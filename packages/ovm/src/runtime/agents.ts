import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { Agent, type AgentState } from "../guest/agent/agent.ts"
import type { AgentSession } from "../guest/agent/session.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Instance } from "./instance.ts"

/** How long an agent is waited for unless told: its guest is perhaps still booting. */
const BOOT_MS = 60_000
/** Between two looks at a machine that is being started. */
const LOOK_MS = 50

/** Speaks with the agent of a machine from now on, if it has a channel, until the machine ends. */
export function followAgent(instance: Instance, machine: Machine): void {
  instance.agent?.close()
  const { agent: connect } = machine
  if (!connect) return
  const agent = new Agent({
    connect,
    resumed: instance.info.snapshot !== undefined,
    runs: () => instance.state === "running",
  })
  instance.agent = agent
  machine.exited.then(() => agent.close())
}

/** What a status says of it; undefined for a machine that was not asked to have one. */
export function shownAgent({ info, agent, machine }: Instance): AgentState | undefined {
  if (!info.agent) return undefined
  return machine && agent ? agent.state : { ready: false }
}

/**
 * The agent of a machine that runs or is being started, once it answers. Throws OVM_AGENT_UNAVAILABLE,
 * OVM_STATE_CONFLICT, OVM_UNSUPPORTED for a machine without the way to one, OVM_VMM_UNREACHABLE, OVM_INTERRUPTED.
 */
export async function agentInside(
  instance: Instance,
  { signal, withinMs = BOOT_MS }: Call & { readonly withinMs?: number } = {},
): Promise<AgentSession> {
  const deadline = performance.now() + withinMs
  while (instance.state === "starting" && performance.now() < deadline && !signal?.aborted)
    await sleep(LOOK_MS)
  instance.assertUsable()
  const { id, state, info, agent } = instance
  if (state !== "running")
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is ${state}`, { detail: { state } })
  if (!info.agent || !agent)
    throw new OvmError("OVM_UNSUPPORTED", `instance ${id} was not started with an agent (ovm run --agent)`)
  return await agent.session(Math.max(0, deadline - performance.now()), signal)
}
