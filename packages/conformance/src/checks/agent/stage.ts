import { type Manner, StandIn, type Way } from "../../agent/stand-in.ts"
import type { Changes } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { lacks } from "../../subject/vmms.ts"
import type { Plan, Scene } from "../runtime/plan.ts"

/** A machine whose agent is the suite. */
export interface Stage extends Scene {
  readonly id: string
  readonly agent: StandIn
}

/** Does all that is asked for, at once, and has nothing to say. */
export const OBEDIENT: Manner = (_, stream, agent) => agent.exit(stream)

export const LINE = "console=ttyS0 tick_ms=50 agent=1"

/** Of a manifest: what leads to the port of the agent, a second serial port or where there can be none vsock. */
export async function wayOut({ runtime }: Scene): Promise<readonly object[]> {
  return [{ type: (await lacks(runtime, "serial")) ? "vsock" : "serial", name: "way" }]
}

/** What of the guest's port a guest says that has found it. */
export async function portName({ runtime }: Scene): Promise<string> {
  return (await lacks(runtime, "serial")) ? "AGENT [vsock]" : "AGENT [org.ovms.agent.0]"
}

/** The socket that leads to the agent's port. */
export async function portOf({ runtime }: Scene, id: string): Promise<Way> {
  const { devices = [] } = (await runtime.reaches(id, "running")) as Instance & {
    devices?: { type: string; name: string; path?: string }[]
  }
  const { type, path } = devices.find(({ name }) => name === "way") ?? {}
  must(type && path, "devices has no path of what leads to the port of the agent")
  return { type, path }
}

interface Wishes {
  readonly manner?: Manner
  readonly overrides?: object
  readonly changes?: Changes
}

export function agentPlan(
  name: string,
  covers: readonly string[],
  run: (stage: Stage) => Promise<void>,
  { manner = OBEDIENT, overrides = {}, changes = {} }: Wishes = {},
): Plan {
  return {
    name: `agent/${name}`,
    profile: "agent",
    covers,
    async run(scene) {
      const document = { devices: await wayOut(scene), ...changes.document }
      const manifest = await scene.machine({ ...changes, document })
      const id = await scene.start({ manifest, overrides: { args: LINE, agent: true, ...overrides } })
      await withAgent(scene, id, manner, run)
    },
  }
}

/** Is the agent of that machine as long as `run` takes. */
export async function withAgent(
  scene: Scene,
  id: string,
  manner: Manner,
  run: (stage: Stage) => Promise<void>,
): Promise<void> {
  // By then the guest looks at its ports.
  await scene.runtime.says(id, /TICK \d+\r?\n/)
  const agent = await StandIn.connect(await portOf(scene, id), manner)
  try {
    await run({ ...scene, id, agent })
    must(agent.fault === undefined, `the host says what is no frame: ${agent.fault}`)
  } finally {
    agent.close()
  }
}

/** The last OPEN of that kind, once there are so many. */
export function opened({ runtime, agent }: Stage, what: string, times = 1) {
  return runtime.until(`the agent is asked to ${what}`, async () => {
    const opens = agent.opened(what)
    return opens.length >= times && opens.at(-1)
  })
}

/** Does all at once but what begins with this word, which it does nothing about. */
export function allBut(word: string): Manner {
  return (words, stream, agent) => words[0] !== word && agent.exit(stream)
}

/** Waits until the agent was heard by the runtime. */
export async function ready({ runtime, id }: Pick<Stage, "runtime" | "id">): Promise<void> {
  await runtime.ask("GET /instances/{instance_id}/ready", id, { query: "timeout_ms=30000" })
}

/** An answer that is waited for later, or never. */
export function later<T>(answer: Promise<T>): Promise<T> {
  answer.catch(() => {})
  return answer
}
