import { closeSync } from "node:fs"
import { OvmError } from "../errors.ts"
import { socketPair } from "../host/libc.ts"
import { startFilter } from "./filter.ts"
import type { Connected, MachineLink } from "./machine-link.ts"
import { startPasst } from "./passt.ts"
import { outboundRules } from "./rules.ts"
import { VmmEnd } from "./vmm-end.ts"

/**
 * The connection of one VMM to what carries its frames: a filter of its own and, behind that, a passt, neither of which
 * need be there yet. Both end by themselves as soon as nobody holds the VMM's end any more, whoever was killed and
 * however.
 */
export class NetworkLink implements MachineLink {
  readonly #vmm: VmmEnd
  #filter: number | undefined
  readonly #given = new AbortController()

  /** `directory` is the machine's. Throws OVM_TOO_MANY where there is no descriptor left. */
  constructor(
    private readonly passt: string,
    private readonly directory: string,
  ) {
    const [vmm, filter] = socketPair()
    this.#vmm = new VmmEnd(vmm)
    this.#filter = filter
  }

  /** The VMM's end. */
  get vmmEnd(): number {
    return this.#vmm.descriptor
  }

  /** The VMM was started, and has inherited its end. */
  handedOver(): void {
    this.#vmm.letGo()
  }

  /**
   * Starts both, once; returns when the ports are open. Throws OVM_PORT_IN_USE, or OVM_HOST_FAILED with their own
   * words, also if that takes more than 10 s or it is let go of meanwhile; then nothing of them is left.
   */
  async start({ mac, forwards, allowed, outbound = true, onStay }: Connected): Promise<void> {
    const guest = this.#filter
    if (guest === undefined) throw new OvmError("OVM_INTERNAL", "the filter has its end already")
    const [outside, inside] = socketPair()
    const { signal } = this.#given
    try {
      // What no rule is of is closed.
      const rules = outbound ? outboundRules(allowed) : []
      const what = { mac, forwards, rules, directory: this.directory, onStay }
      const filter = startFilter(what, { guest, outside }, signal)
      await Promise.all([filter, startPasst(this.passt, forwards, { connection: inside, onStay }, signal)])
    } finally {
      closeSync(outside)
      closeSync(inside)
      this[Symbol.dispose]()
    }
  }

  /** Lets go of what is held still, and ends what is starting. What has started lives as long as the VMM. */
  [Symbol.dispose](): void {
    this.#given.abort()
    this.handedOver()
    if (this.#filter !== undefined) closeSync(this.#filter)
    this.#filter = undefined
  }
}
