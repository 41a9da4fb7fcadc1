import type { Instance } from "./instance.ts"
import { syncRecord } from "./record.ts"

/**
 * Has a crash of the host leave the instance as its record has it now: what its guest has flushed is of no use to
 * anybody who does not know of it (OVMS-STA-069). Throws the system's error.
 */
export async function outlive({ transient, request, directory }: Instance): Promise<void> {
  if (!transient && request?.overrides?.ephemeral !== true) await syncRecord(directory)
}
