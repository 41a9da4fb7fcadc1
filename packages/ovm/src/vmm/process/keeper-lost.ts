import { isDefunct, processStat } from "../../host/process-stat.ts"
import { type Identity, isAlive, keeperOf } from "./identity.ts"
import { lookOften } from "./looks.ts"

/**
 * Settles once the keeper of a VMM has ended: with true if the VMM lives on, whose console and exit status nobody keeps
 * then. With false also with the next look after `signal` came, and at once where nobody can tell. Does not keep this
 * process alive.
 */
export async function losesKeeper(vmm: Identity, signal: AbortSignal): Promise<boolean> {
  // Nobody else gets its number while there is a process in its session (proc(5), setsid(2)).
  const keeper = await keeperOf(vmm)
  if (keeper === undefined) return false
  await new Promise<void>((settle) => {
    lookOften(() => {
      const goesOn = !signal.aborted && isThere(keeper)
      if (!goesOn) settle()
      return goesOn
    })
  })
  return !signal.aborted && (await isAlive(vmm))
}

/** What cannot be looked at just now may be there. */
function isThere(pid: number): boolean {
  try {
    const stat = processStat(pid)
    return stat !== undefined && !isDefunct(stat)
  } catch {
    return true
  }
}
