import { must } from "../../check.ts"
import { lacks, needs } from "../../subject/vmms.ts"
import type { Scene } from "./plan.ts"

/** Skips where no memory is locked, and a snapshot that asks for that is refused by its name (OVMS-ERR-007). */
export async function canLock({ runtime }: Scene, manifest: string): Promise<void> {
  if (!(await lacks(runtime, "lockedMemory"))) return
  const { detail } = await runtime.refused("POST /start", "OVM_UNSUPPORTED", "", { body: { manifest } })
  const named = Array.isArray(detail) && detail.some(({ pointer }) => /mlock_required$/.test(String(pointer)))
  must(named, `detail does not name mlock_required: ${JSON.stringify(detail)}`)
  await needs(runtime, "lockedMemory")
}
