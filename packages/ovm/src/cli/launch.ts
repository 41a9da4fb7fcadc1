import type { Call } from "../content/interfaces.ts"
import type { Runtime, State } from "../runtime/interfaces.ts"
import { refuseBadEnd } from "./end.ts"
import { isRestarting, waitFor } from "./instances.ts"
import { type MachineOptions, startRequest } from "./machine-options.ts"
import { warnOfPorts } from "./offered.ts"

/** What is printed of a machine that runs. */
export interface Up {
  readonly instance_id: string
  readonly status: State
}

/**
 * Starts a machine and returns when it has left the state `starting`. Throws what the start failed with, or what
 * refuseBadEnd says of a machine that has ended by then. If `signal` aborts meanwhile, the machine is stopped.
 */
export async function launch(
  runtime: Runtime,
  image: string,
  options: MachineOptions,
  call: Call = {},
): Promise<Up> {
  return await upOf(
    runtime,
    (await runtime.start(await startRequest(image, options), call)).instance_id,
    call,
  )
}

/** As `launch`, of an instance that has ended: its machine boots from its own disk. */
export async function launchAgain(runtime: Runtime, id: string, call: Call = {}): Promise<Up> {
  return await upOf(runtime, (await runtime.startAgain(id, call)).instance_id, call)
}

/**
 * Stops it first: all of it is the daemon's work, and goes on if `call` is aborted. `graceMs` is what its guest may
 * take.
 */
export async function relaunch(
  runtime: Runtime,
  id: string,
  options: Call & { readonly graceMs?: number },
): Promise<Up> {
  const { instance_id } = await runtime.restart(id, options)
  const info = await waitFor(runtime, instance_id, ({ state }) => state !== "starting", options)
  refuseBadEnd(info)
  return { instance_id, status: info.state }
}

/** Returns when the start of an instance that was asked for is over, as `launch` does. */
export async function upOf(runtime: Runtime, instance_id: string, call: Call): Promise<Up> {
  try {
    return await untilUp(runtime, instance_id, call)
  } catch (thrown) {
    if (call.signal?.aborted) await runtime.stop({ instance_id })
    throw thrown
  }
}

/** As `upOf`, and the machine goes on if `call` is aborted. */
export async function untilUp(runtime: Runtime, instance_id: string, call: Call): Promise<Up> {
  const info = await waitFor(runtime, instance_id, ({ state }) => state !== "starting", call)
  if (!isRestarting(info)) refuseBadEnd(info)
  warnOfPorts(info)
  return { instance_id, status: info.state }
}
