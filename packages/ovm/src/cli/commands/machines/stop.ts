import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import type { InstanceInfo, Runtime } from "../../../runtime/interfaces.ts"
import { hasEnded } from "../../../runtime/states.ts"
import { forEach } from "../../failure.ts"
import { findInstance, waitFor } from "../../instances.ts"
import { print, printJson } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"

interface StopOptions {
  readonly time?: number
  readonly json?: boolean
}

/** How long ending and killing the VMM may take after the grace time, in ms. */
const MARGIN_MS = 30_000
/** More than that nobody gives (spec/runtime-api.md). */
const MOST_GRACE_MS = 600_000

export function define(command: Command): void {
  command
    .description(
      "Ask machines to power off, and wait until they have ended. One that does not within --time is ended.",
    )
    .argument("<instance...>", "id, start of an id, or name")
    .option(
      "-t, --time <seconds>",
      "how long the guest may take; 10 unless told, or what daemon.json says",
      (text) => parseCount(text, "--time", 0),
    )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm stop web", "ovm stop --time 0 3f2a 91bc")
}

async function run(names: readonly string[], options: StopOptions): Promise<void> {
  const stop = async (name: string) => {
    const { runtime, instance } = await findInstance(name)
    const { instance_id } = instance
    const grace_ms = options.time === undefined ? undefined : options.time * 1000
    // What the daemon gives it unless told is its to know.
    const timeout = AbortSignal.timeout((grace_ms ?? MOST_GRACE_MS) + MARGIN_MS)
    try {
      await runtime.stop({ instance_id, ...(grace_ms !== undefined && { grace_ms }) })
      const { state, stop_method } = await ended(runtime, instance_id, timeout)
      if (options.json) printJson({ instance_id, status: state, ...(stop_method && { stop_method }) })
      else print(`${instance_id}\n`)
    } catch (cause) {
      if (!timeout.aborted) throw cause
      throw new OvmError("OVM_VMM_TIMEOUT", `instance ${name} is still stopping`, {
        cause,
        hint: `ovm rm --force ${name}`,
      })
    }
  }
  await forEach(names, stop, options)
}

/** One that somebody has removed meanwhile, as `ovm run --rm` does, has ended too. */
async function ended(
  runtime: Runtime,
  id: string,
  signal: AbortSignal,
): Promise<Pick<InstanceInfo, "state" | "stop_method">> {
  try {
    return await waitFor(runtime, id, (info) => hasEnded(info.state), { signal })
  } catch (thrown) {
    if (thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN") return { state: "stopped" }
    throw thrown
  }
}
