import { OvmError } from "../../errors.ts"
import type { Instance } from "../instance.ts"

/** Between two looks, in ms. */
const LOOK_MS = 300

/**
 * Whether a guest has come to stand still for the disk of its host. Whoever has a machine makes room and has it go on;
 * that of one command has nobody who would (OVMS-API-533).
 */
export class Standstill {
  /** OVM_NO_SPACE or OVM_HOST_FAILED, once it has. */
  error: OvmError | undefined
  readonly #timer: NodeJS.Timeout

  /** Looks until `over` is called; `onFound` is called once. */
  constructor(instance: Instance, onFound: () => void) {
    this.#timer = setInterval(() => {
      this.error = troubleOf(instance)
      if (!this.error) return
      this.over()
      onFound()
    }, LOOK_MS).unref()
  }

  over(): void {
    clearInterval(this.#timer)
  }
}

function troubleOf({ info: { reason } }: Instance): OvmError | undefined {
  if (reason === "disk-full")
    return new OvmError("OVM_NO_SPACE", "the disk of the host is full: the guest could not write to its disk")
  if (reason === "io-error")
    return new OvmError(
      "OVM_HOST_FAILED",
      "the disk of the host fails: the guest could not write to its disk",
    )
  return undefined
}
