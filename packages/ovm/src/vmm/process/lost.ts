import { setTimeout as sleep } from "node:timers/promises"
import { type Identity, isAlive } from "./identity.ts"

const LOOK_MS = 2000

/**
 * Settles with true once what a VMM needs beside it is not `there` any more while the VMM lives; with false after
 * `signal`, and where the VMM has ended as well. Does not keep this process alive.
 */
export async function loses(
  vmm: Identity,
  there: () => boolean | Promise<boolean>,
  signal: AbortSignal,
): Promise<boolean> {
  while (!signal.aborted && (await there()))
    await sleep(LOOK_MS, undefined, { ref: false, signal }).catch(() => {})
  return !signal.aborted && (await isAlive(vmm))
}
