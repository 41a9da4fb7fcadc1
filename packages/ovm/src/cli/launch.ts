import type { Call } from "../content/interfaces.ts"
import type { Runtime, State } from "../runtime/interfaces.ts"
import { refuseBadEnd } from "./end.ts"
import { waitFor } from "./instances.ts"
import { type MachineOptions, startRequest } from "./machine-options.ts"

/**
 * Starts a machine and returns when it has left the state `starting`. Throws what the start failed with, or what
 * refuseBadEnd says of a machine that has ended by then. If `signal` aborts meanwhile, the machine is stopped.
 */
export async function launch(
  runtime: Runtime,
  image: string,
  options: MachineOptions,
  call: Call = {},
): Promise<{ readonly instance_id: string; readonly status: State }> {
  const { instance_id } = await runtime.start(startRequest(image, options), call)
  try {
    const info = await waitFor(runtime, instance_id, ({ state }) => state !== "starting", call)
    refuseBadEnd(info)
    return { instance_id, status: info.state }
  } catch (thrown) {
    if (call.signal?.aborted) await runtime.stop({ instance_id })
    throw thrown
  }
}
