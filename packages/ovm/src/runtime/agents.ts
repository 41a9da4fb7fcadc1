import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { Agent, type AgentState } from "../guest/agent/agent.ts"
import type { AgentSession } from "../guest/agent/session.ts"
import type { Resumed } from "../guest/agent/settle.ts"
import { QgaSession } from "../guest/qga/session.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Instance } from "./instance.ts"
import { beginMain } from "./main-command.ts"
import { Mounts } from "./mounts.ts"
import { tellWindow } from "./window.ts"

/** How long an agent is waited for unless told: its guest is perhaps still booting. */
const BOOT_MS = 60_000
/** How long an agent may take to answer after a resume until that is said, and input goes in without it. */
export const SILENT_MS = 10_000
const SILENT =
  "no agent has made it one of its own since the machine went on: its random bytes and its clock are its snapshot's, and its network has no link until one does"
/** Between two looks at a machine that is being started, which goes on from a snapshot within some milliseconds. */
const FIRST_LOOK_MS = 2
const LAST_LOOK_MS = 50

/**
 * Speaks with the agent of a machine from now on, if it has a channel, until the machine ends. `unmounted` hears of a
 * share that it cannot mount.
 */
export function followAgent(instance: Instance, machine: Machine, unmounted: () => void): void {
  instance.agent?.close()
  const { agent: connect, guestAgent } = machine
  if (!connect) return
  const { info } = instance
  // Without a disk the guest stays with the root that it has.
  const switches = (info.disks ?? []).length > 0
  const mounts = new Mounts(
    info,
    (machine.record.shareServers ?? []).map(({ tag }) => tag),
  )
  instance.mounts = mounts
  const agent = new Agent({
    connect,
    switches,
    runs: () => instance.state === "running",
    answers: (session) => {
      mounts.begin(session, switches, unmounted)
      tellWindow(instance, session)
      // An agent that goes meanwhile is asked again when it is back.
      beginMain(instance, session, switches).catch(() => {})
    },
    ...(guestAgent && {
      other: async (signal) => {
        const channel = await guestAgent()
        return channel && (await QgaSession.open(channel, signal))
      },
    }),
    ...(instance.resumed && { resumed: resumedIn(instance, machine) }),
  })
  instance.agent = agent
  machine.onAgentCut?.(() => agent.cut())
  machine.onAgentGone?.((way) => agent.gone(way === "agent" ? "ovm" : "qemu-guest-agent"))
  machine.exited.then(() => agent.close())
}

function resumedIn(instance: Instance, machine: Machine): Resumed {
  const { agent, network } = instance.info
  return {
    name: () => instance.info.name,
    renewed: agent?.renewed,
    linkUp: async () => {
      if (network?.mode !== "none") await machine.linkUp?.()
    },
    // A daemon that comes later does not have its hooks run again.
    onRenewed: (renewed) => void instance.change({ agent: { ready: false, renewed } }),
  }
}

/** What a status says of it; undefined for a machine that was not asked to have one. */
export function shownAgent({ info, agent, machine }: Instance): AgentState | undefined {
  if (!info.agent) return undefined
  return machine && agent ? agent.state : { ready: false }
}

/** What is done in a machine finds its shares, as far as they can be had (OVMS-SHR-006). */
async function mounted({ id, mounts }: Instance, deadline: number, signal?: AbortSignal): Promise<void> {
  if (!mounts || mounts.shares.length === 0) return
  const over = new AbortController()
  const stop = signal ? AbortSignal.any([signal, over.signal]) : over.signal
  const late = sleep(Math.max(0, deadline - performance.now()), true, { signal: stop }).catch(() => true)
  const isLate = await Promise.race([mounts.settled, late])
  over.abort()
  if (signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "waiting for the shares was interrupted")
  if (isLate)
    throw new OvmError("OVM_AGENT_UNAVAILABLE", `instance ${id} has not mounted its shares yet`, {
      hint: "its guest is still booting: ovm logs shows how far it came",
    })
}

/** What a status warns of: a guest that goes on and is not one of its own yet is said to be so (OVMS-SNP-173). */
export function agentWarnings({ info, agent, machine, resumed }: Instance): readonly string[] {
  if (!machine || !info.agent) return []
  const { troubles = [], silence } = agent ?? {}
  const said = silence === undefined ? troubles : [...troubles, silence]
  if (!resumed || agent?.state.renewed || troubles.length > 0) return said
  return Date.now() - Date.parse(info.started ?? "") > SILENT_MS ? [...said, SILENT] : said
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
  let wait = FIRST_LOOK_MS
  while (instance.state === "starting" && performance.now() < deadline && !signal?.aborted) {
    await sleep(wait)
    wait = Math.min(2 * wait, LAST_LOOK_MS)
  }
  instance.assertUsable()
  const { id, state, info, agent } = instance
  if (state !== "running")
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is ${state}`, { detail: { state } })
  if (!info.agent || !agent)
    throw new OvmError("OVM_UNSUPPORTED", `instance ${id} was not started with an agent (ovm run --agent)`)
  const session = await agent.session(Math.max(0, deadline - performance.now()), signal)
  await mounted(instance, deadline, signal)
  return session
}
