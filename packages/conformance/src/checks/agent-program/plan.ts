import { TYPE } from "../../agent/frame.ts"
import { type Check, type CheckCall, must } from "../../check.ts"
import type { Agent, Host } from "../../subject/agent.ts"

/** An agent that has been started for one check, and said hello to. */
export interface HostScene extends CheckCall {
  readonly host: Host
}

export function hostPlan(
  name: string,
  covers: readonly string[],
  run: (scene: HostScene) => Promise<void>,
  greets = true,
): Check<Agent> {
  return {
    name: `agent/${name}`,
    profile: "agent",
    covers,
    run: (agent, call) =>
      agent.session(call, async (host) => {
        if (greets) await host.hello()
        await run({ ...call, host })
        endsOnce(host)
      }),
  }
}

/** EXIT is the last frame of a stream (OVMS-AGT-020). */
function endsOnce({ heard }: Host): void {
  const ended = new Set<number>()
  for (const { type, stream } of heard) {
    if (stream === 0) ended.clear()
    else must(!ended.has(stream), `something of the stream ${stream} comes after its EXIT`)
    if (type === TYPE.exit) ended.add(stream)
  }
}

/** Whether there is a process of that number, other than one that has ended and is not buried. */
export async function lives(pid: number, readStat: (path: string) => Promise<string>): Promise<boolean> {
  const stat = await readStat(`/proc/${pid}/stat`).catch(() => "")
  return stat !== "" && !/\) [ZX] /.test(stat)
}
