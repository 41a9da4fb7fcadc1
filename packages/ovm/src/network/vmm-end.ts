import { closeSync } from "node:fs"
import { OvmError } from "../errors.ts"

/** A VMM's end of its link, held here until the VMM was started with it. */
export class VmmEnd {
  #descriptor: number | undefined

  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  get descriptor(): number {
    if (this.#descriptor === undefined) throw new OvmError("OVM_INTERNAL", "the VMM has its end already")
    return this.#descriptor
  }

  /** Closes it here, if it is still held. */
  letGo(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}
