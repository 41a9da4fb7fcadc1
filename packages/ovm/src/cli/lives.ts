import type { Bytes, Call } from "../content/interfaces.ts"
import type { InstanceInfo, Runtime } from "../runtime/interfaces.ts"
import { waitFor } from "./instances.ts"

// A machine that is started again may begin a life or two while somebody is about to show the one before.

/**
 * What a machine writes in the life that `info` is of, to its end, whatever has begun since. Throws what `runtime.logs`
 * throws.
 */
export async function consoleOfLife(
  runtime: Runtime,
  { instance_id: id, started }: InstanceInfo,
  call: Call = {},
): Promise<Bytes> {
  const left = new AbortController()
  const signal = call.signal ? AbortSignal.any([call.signal, left.signal]) : left.signal
  const bytes = await runtime.logs(id, { follow: true, signal })
  if ((await runtime.status(id, call)).started === started) return bytes
  left.abort()
  return await consoleBefore(runtime, id, call)
}

/** What an instance wrote in its life before the present one, as far as it is kept. */
export async function consoleBefore(runtime: Runtime, id: string, call: Call): Promise<Bytes> {
  // It is put aside when the present one begins.
  await waitFor(runtime, id, ({ state }) => state !== "starting", call)
  return await runtime.logs(id, { previous: true, ...call })
}

/** Whether one was over before it was looked at: the life of `info` is not the one after `shown`, or the first. */
export function hasMissed(shown: InstanceInfo | undefined, { restarts = 0 }: InstanceInfo): boolean {
  return restarts > (shown ? (shown.restarts ?? 0) + 1 : 0)
}
