import { readdir } from "node:fs/promises"
import { Failure } from "../../check.ts"
import { alive, described, processesWith, signal } from "../../subject/processes.ts"
import type { Runtime } from "../../subject/runtime.ts"

/** How long what has to do with a machine may outlive it (OVMS-CNF-053, OVMS-API-531). */
const GONE_MS = 5000

/**
 * Fails unless no process has to do any more with an instance that has ended; `before` are those that had. What lives
 * is named, and ended.
 */
export async function endsWhole(runtime: Runtime, id: string, before: readonly number[]): Promise<void> {
  let left: readonly number[] = before
  try {
    await runtime.within("the end of its processes", GONE_MS, async () => {
      left = alive([...new Set([...before, ...processesWith(id)])])
      return left.length === 0
    })
  } catch (thrown) {
    if (!(thrown instanceof Failure)) throw thrown
    throw new Failure(`it has ended, and of its processes there live ${described(left)}`)
  } finally {
    signal(left, "SIGKILL")
  }
}

/** Fails unless nothing in the runtime's folder is called by an instance that was deleted. */
export async function leavesNoFile(runtime: Runtime, id: string): Promise<void> {
  const { harness } = runtime
  // Of a runtime that is served already nobody knows where its files are.
  if (!harness) return
  await runtime.within("no file has the ID of the instance that was deleted", GONE_MS, async () => {
    const names = await readdir(harness.home, { recursive: true }).catch(() => undefined)
    return names !== undefined && !names.some((name) => name.includes(id))
  })
}
