import { setTimeout as sleep } from "node:timers/promises"
import { SILENT_MS } from "./agents.ts"
import type { Instance } from "./instance.ts"

/** Within this the kernel of a guest that goes on has seen the change of its VM generation ID. */
const KERNEL_MS = 50

/**
 * Settles when what is typed may reach the guest of a machine that goes on from a snapshot: once it is one of its own,
 * or its agent has been silent for too long for somebody who may have to mend it (OVMS-SNP-093, OVMS-SNP-172).
 */
export async function untilRenewed({ info, agent, resumed }: Instance): Promise<void> {
  if (!resumed || !info.started) return
  const asked = info.agent ? agent : undefined
  const most = asked ? SILENT_MS : KERNEL_MS
  // The clock may have been set meanwhile.
  const left = Math.min(most, most - (Date.now() - Date.parse(info.started)))
  if (left <= 0) return
  const over = new AbortController()
  const late = sleep(left, undefined, { ref: false, signal: over.signal }).catch(() => {})
  await Promise.race([late, ...(asked ? [asked.settled] : [])])
  over.abort()
}
