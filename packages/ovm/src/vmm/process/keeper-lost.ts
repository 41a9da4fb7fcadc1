import { readFile } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"
import { type Identity, isAlive, keeperOf } from "./identity.ts"

/** Keepers hardly ever end before their VMM: so often is looked. */
const LOOK_MS = 2000

/**
 * Settles once the keeper of a VMM has ended: with true if the VMM lives on, whose console and exit status nobody keeps
 * then. With false also once `signal` comes, and at once where nobody can tell. Does not keep this process alive.
 */
export async function losesKeeper(vmm: Identity, signal: AbortSignal): Promise<boolean> {
  // Nobody else gets its number while there is a process in its session (proc(5), setsid(2)).
  const keeper = await keeperOf(vmm)
  if (keeper === undefined) return false
  while (await isThere(keeper)) {
    await sleep(LOOK_MS, undefined, { ref: false, signal }).catch(() => {})
    if (signal.aborted) return false
  }
  return await isAlive(vmm)
}

/** What cannot be looked at just now may be there. */
async function isThere(pid: number): Promise<boolean> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "latin1")
    const [state] = text.slice(text.lastIndexOf(")") + 2)
    return state !== "Z" && state !== "X"
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return code !== "ENOENT" && code !== "ESRCH"
  }
}
