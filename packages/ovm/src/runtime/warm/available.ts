import { OvmError } from "../../errors.ts"
import { availableMemory } from "../../host/memory.ts"
import type { Limits } from "../limits.ts"

/**
 * Slots are the first to go where memory is short (OVMS-API-110). Throws OVM_TOO_MANY where `more` bytes would leave
 * the host less than it is to have.
 */
export async function assertAvailable({ warmReserve }: Pick<Limits, "warmReserve">, more = 0): Promise<void> {
  const available = await availableMemory()
  if (available < warmReserve + more)
    throw new OvmError(
      "OVM_TOO_MANY",
      `the host has ${available} bytes of memory left; slots leave it ${warmReserve}, and one more needs ${more}`,
    )
}
