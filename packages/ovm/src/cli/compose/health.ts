import { setTimeout as sleep } from "node:timers/promises"
import { durationOf } from "../../compose/duration.ts"
import type { HealthEntry } from "../../compose/project.ts"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { InstanceInfo, Runtime } from "../../runtime/interfaces.ts"
import { hasEnded } from "../../runtime/states.ts"
import { failureOf } from "../end.ts"
import { isRestarting } from "../instances.ts"
import { probeOf } from "./probes.ts"

/** A machine boots: what does not answer in that time has not failed yet. */
const DEFAULTS = { interval: "1s", timeout: "10s", start_period: "2m", retries: 3 } as const
/** What the command is to blame for, and no waiting mends. */
const FINAL: ReadonlySet<string> = new Set(["OVM_UNSUPPORTED", "OVM_INTERRUPTED", "OVM_DAEMON_UNREACHABLE"])

/**
 * Waits until the instance is healthy. Throws OVM_GUEST_UNREACHABLE with what the last look gave once as many as
 * `retries` in a row came to nothing after `start_period`, and what the machine failed with if it ends.
 */
export async function untilHealthy(
  runtime: Runtime,
  id: string,
  check: HealthEntry,
  call: Call = {},
): Promise<InstanceInfo> {
  const { interval, timeout, start_period, retries } = { ...DEFAULTS, ...check }
  const probe = probeOf(runtime, check)
  const patience = performance.now() + durationOf(start_period)
  for (let failed = 0; ; ) {
    const began = performance.now()
    const info = await runtime.status(id, call)
    if (hasEnded(info.state) && !isRestarting(info)) throw ended(info)
    const limit = AbortSignal.timeout(Math.max(1, durationOf(timeout)))
    const signal = call.signal ? AbortSignal.any([call.signal, limit]) : limit
    const trouble =
      info.state === "running" ? await probe(info, signal).catch((thrown) => why(thrown, limit)) : info.state
    call.signal?.throwIfAborted()
    if (trouble === undefined) return info
    if (began >= patience && ++failed >= retries)
      throw new OvmError("OVM_GUEST_UNREACHABLE", `${info.name} is not healthy: ${trouble}`, {
        hint: `ovm logs ${info.name}; ovm up goes on when it is mended`,
      })
    await sleep(durationOf(interval), undefined, call)
  }
}

/** As words; throws what is final. */
function why(thrown: unknown, limit: AbortSignal): string {
  if (limit.aborted) return "nothing answered in time"
  const error = toOvmError(thrown)
  if (FINAL.has(error.code)) throw error
  return error.message
}

function ended(info: InstanceInfo): OvmError {
  if (info.state === "failed") return failureOf(info)
  return new OvmError("OVM_GUEST_UNREACHABLE", `${info.name} has ended before it was healthy`, {
    hint: `ovm logs ${info.name}`,
  })
}
