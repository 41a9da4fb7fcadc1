import { setTimeout as sleep } from "node:timers/promises"
import { isAlive, kill, startedIn } from "./identity.ts"

const LONGEST_MS = 3000

/**
 * Ends what a wrapper in `directory` started and nobody has a record of, as after a daemon that died in mid-launch. Returns once
 * it is gone; true if there was something to end.
 */
export async function endStray(directory: string): Promise<boolean> {
  const stray = await startedIn(directory)
  if (!stray || !(await kill(stray))) return false
  for (let waited = 0; waited < LONGEST_MS && (await isAlive(stray)); waited += 5) await sleep(5)
  return true
}
