import { must } from "../../check.ts"
import type { Instance } from "../../subject/runtime.ts"
import { later } from "../agent/stage.ts"
import { type Linux, output } from "./stage.ts"

type Answering = Instance & { readonly agent?: { readonly ready: boolean; readonly since?: string } }

const EXEC = "POST /instances/{instance_id}/exec"
/** By which an agent is reached; it may know them by another path than others. */
const EACH = "for fd in /proc/[0-9]*/fd/*; do case $(readlink $fd) in */vport[0-9]*p[0-9]*)"
/** What is at its end by then is told within this. */
const SOON_MS = 20_000

/**
 * The port of an agent is closed as that dies: at once it is none that answers, and what it did is lost. False where it
 * is reached by something else than a port.
 */
export async function agentThatDies({ runtime, id }: Pick<Linux, "runtime" | "id">): Promise<boolean> {
  const found = await output({ runtime, id }, `${EACH} echo one ;; esac; done; true`)
  if (found === "") return false
  const { agent } = (await runtime.status(id)) as Answering
  must(agent?.ready, "an agent that answers is not ready")
  const body = (script: string) => ({ body: { command: ["sh", "-c", script] } })
  let lost: number | undefined
  const long = later(
    runtime.raw("POST", `/instances/${id}/exec`, body("echo UNDER-WAY >/dev/console; sleep 600")),
  )
  long.then(({ status }) => (lost = status)).catch(() => {})
  await runtime.says(id, /UNDER-WAY\r?\n/)
  const kill = "pid=${fd#/proc/}; echo AGENT-DIES >/dev/console; kill -9 ${pid%%/*}"
  later(runtime.ask(EXEC, id, body(`${EACH} ${kill} ;; esac; done`)))
  await runtime.says(id, /AGENT-DIES\r?\n/)
  await runtime.until("a command of an agent that has died is lost", async () => lost !== undefined, SOON_MS)
  must((lost ?? 0) >= 400, `a command of an agent that has died was answered with ${lost}`)
  // It is another one if it is ready.
  const said = (await runtime.status(id)) as Answering
  must(!said.agent?.ready || said.agent.since !== agent.since, "an agent that has died is said to be ready")
  return true
}
