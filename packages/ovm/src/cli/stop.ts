import type { Command } from "commander"
import { OvmError } from "../errors.ts"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { MOST_GRACE_MS } from "../runtime/limits.ts"
import { hasEnded } from "../runtime/states.ts"
import { hasLeft, waitFor } from "./instances.ts"
import { parseCount } from "./size.ts"

/** How long ending and killing the VMM may take after the grace time, in ms. */
const MARGIN_MS = 30_000

export function defineTime(command: Command): Command {
  return command.option(
    "-t, --time <seconds>",
    "how long the guest may take, at most 600; 10 unless told, or what daemon.json says",
    (text) => parseCount(text, "--time", 0, MOST_GRACE_MS / 1000),
  )
}

/** Stops a machine and waits until it has ended. `seconds` is what its guest may take. Throws OVM_VMM_TIMEOUT. */
export async function stopped(
  runtime: Runtime,
  instance: InstanceInfo,
  seconds: number | undefined,
): Promise<Pick<InstanceInfo, "state" | "stop_method">> {
  const { instance_id, name } = instance
  const grace_ms = seconds === undefined ? undefined : seconds * 1000
  // What the daemon gives it unless told is its to know.
  const timeout = AbortSignal.timeout((grace_ms ?? MOST_GRACE_MS) + MARGIN_MS)
  try {
    await runtime.stop({ instance_id, ...(grace_ms !== undefined && { grace_ms }) })
    return await ended(runtime, instance, timeout)
  } catch (cause) {
    if (!timeout.aborted) throw cause
    throw new OvmError("OVM_VMM_TIMEOUT", `instance ${name} is still stopping`, {
      cause,
      hint: `ovm rm --force ${name}`,
    })
  }
}

/** One that somebody has removed meanwhile, as `ovm run --rm` does, has ended too. */
async function ended(
  runtime: Runtime,
  before: InstanceInfo,
  signal: AbortSignal,
): Promise<Pick<InstanceInfo, "state" | "stop_method">> {
  try {
    const now = await waitFor(runtime, before.instance_id, hasLeft(before), { signal })
    // Another life of it has begun: the one that was to be stopped is over.
    return hasEnded(now.state) ? now : { state: "stopped" }
  } catch (thrown) {
    if (thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN") return { state: "stopped" }
    throw thrown
  }
}
