import { isDefunct, processStat } from "../../host/process-stat.ts"
import { type Identity, isAlive, keeperOf } from "./identity.ts"

/** Keepers hardly ever end before their VMM: so often is looked. */
const LOOK_MS = 2000

interface Watch {
  readonly keeper: number
  readonly signal: AbortSignal
  readonly settle: () => void
}

/** One look is at all of them: two hundred timers cost more than what they look at. */
const watches = new Set<Watch>()
let timer: NodeJS.Timeout | undefined

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
    watches.add({ keeper, signal, settle })
    timer ??= setInterval(look, LOOK_MS).unref()
  })
  return !signal.aborted && (await isAlive(vmm))
}

function look(): void {
  for (const watch of watches) {
    if (!watch.signal.aborted && isThere(watch.keeper)) continue
    watches.delete(watch)
    watch.settle()
  }
  if (watches.size > 0) return
  clearInterval(timer)
  timer = undefined
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
