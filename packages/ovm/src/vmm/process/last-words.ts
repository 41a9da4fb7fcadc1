import { setTimeout as sleep } from "node:timers/promises"
import { readExit, readStderr } from "./exit.ts"

const LOOK_MS = 1

/** How a VMM has ended, and what it said last. */
export interface LastWords {
  readonly status: number
  readonly words: string
}

/** Of the VMM in `directory`, which is given `patienceMs` to end; undefined if it has not by then. */
export async function lastWords(directory: string, patienceMs: number): Promise<LastWords | undefined> {
  const deadline = performance.now() + patienceMs
  let status = await readExit(directory)
  while (status === undefined && performance.now() < deadline) {
    await sleep(LOOK_MS)
    status = await readExit(directory)
  }
  if (status === undefined) return undefined
  return { status, words: (await readStderr(directory)) ?? "without a word" }
}
