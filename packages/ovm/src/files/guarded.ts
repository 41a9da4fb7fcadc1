import { toOvmError } from "../errors.ts"

/** Runs `work` so that only OvmErrors come out of it. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw toOvmError(error)
  }
}

/** Runs `work`, which waits for nothing, so that only OvmErrors come out of it. */
export function guardedSync<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw toOvmError(error)
  }
}
