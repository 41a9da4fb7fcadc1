import { readdir } from "node:fs/promises"
import { alive, processesWith } from "../../subject/processes.ts"
import type { Runtime } from "../../subject/runtime.ts"

/** How long what helped a machine may take to be gone after it (OVMS-CNF-053). */
const GONE_MS = 5000

/** Fails unless no process has to do any more with an instance that has ended; `before` are those that had. */
export async function endsWhole(runtime: Runtime, id: string, before: readonly number[]): Promise<void> {
  const living = async () => alive([...new Set([...before, ...(await processesWith(id))])])
  await runtime.within(
    `no process of the instance that ended is left`,
    GONE_MS,
    async () => (await living()).length === 0,
  )
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
