import { setTimeout as sleep } from "node:timers/promises"
import type { ShareServer } from "../machine.ts"
import { type Identity, isAlive } from "../process/identity.ts"

const LOOK_MS = 2000

/**
 * Settles with true once one of `servers` has ended while its VMM lives; with false after `signal`. Does not keep this
 * process alive.
 */
export async function losesServer(
  vmm: Identity,
  servers: readonly ShareServer[],
  signal: AbortSignal,
): Promise<boolean> {
  const all = async () => (await Promise.all(servers.map(isAlive))).every(Boolean)
  while (!signal.aborted && (await all()))
    await sleep(LOOK_MS, undefined, { ref: false, signal }).catch(() => {})
  return !signal.aborted && (await isAlive(vmm))
}
