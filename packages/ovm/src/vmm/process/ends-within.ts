import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"

/** Whether a machine that is being stopped has ended within `ms`. Throws OVM_INTERRUPTED once `signal` comes. */
export async function endsWithin(
  exited: Promise<unknown>,
  ms: number,
  signal?: AbortSignal,
): Promise<boolean> {
  const timer = new AbortController()
  const late = sleep(ms, false, { signal: signal ? AbortSignal.any([timer.signal, signal]) : timer.signal })
  late.catch(() => {})
  try {
    return await Promise.race([exited.then(() => true), late])
  } catch (cause) {
    throw new OvmError("OVM_INTERRUPTED", "stopping the machine was interrupted; it still runs", { cause })
  } finally {
    timer.abort()
  }
}
