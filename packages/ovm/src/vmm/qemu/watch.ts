import type { AgentWay, Guest } from "../machine.ts"
import { reasonOf } from "../process/exit.ts"
import { AGENT_ID, GUEST_AGENT_ID } from "./agent.ts"
import type { QmpEvent } from "./qmp.ts"

/** QEMU's reasons (ShutdownCause in qapi/run-state.json) in the words of vmm/machine.ts; others are passed on. */
export const WORDS: Readonly<Record<string, string>> = {
  "host-qmp-quit": "quit",
  "host-signal": "signal",
  "host-qmp-system-reset": "guest-reset",
}

/** Run states that no guest comes back from (qapi/run-state.json, RunState), and what its end is called then. */
export const HOPELESS: Readonly<Record<string, string>> = {
  "guest-panicked": "guest-panic",
  "internal-error": "internal-error",
}

/** Notes from the monitor's events what the guest does, and why the machine ends. */
export class GuestWatch {
  /** Called after every change. */
  changed = (): void => {}
  /** Called when a program in the guest has closed its port. */
  portClosed = (_way: AgentWay): void => {}
  /** How often it was let go. */
  runs = 0
  readonly #unlinked = Promise.withResolvers<void>()
  #guest: Guest = { running: false, reason: "request" }
  /** Of the last write or read that failed, since the guest runs. */
  #trouble: Guest | undefined
  #end: string | undefined
  #hopeless = false
  #over = false

  get guest(): Guest {
    return this.#guest
  }

  /** Settles once what carries its network has left QEMU. */
  get unlinked(): Promise<void> {
    return this.#unlinked.promise
  }

  /** The guest cannot go on: the VMM is to be ended. */
  get hopeless(): boolean {
    return this.#hopeless
  }

  /** QEMU has said why it ends, and should have by now. */
  get over(): boolean {
    return this.#over
  }

  readonly onEvent = ({ event, data }: QmpEvent): void => {
    if (event === "RESUME") {
      this.runs++
      this.#trouble = undefined
      this.#become({ running: true })
    }
    if (event === "BLOCK_IO_ERROR" && data.action === "stop") this.#trouble = troubleOf(data)
    if (event === "STOP") this.#become(this.#trouble ?? { running: false, reason: "request" })
    if (event === "GUEST_PANICKED" && data.action !== "run") this.#give("guest-panic")
    if (event === "VSERPORT_CHANGE" && data.open === false) this.#closed(data.id)
    if (event === "NETDEV_STREAM_DISCONNECTED") this.#unlinked.resolve()
    if (event === "SHUTDOWN") {
      const told = String(data.reason)
      if (!this.#hopeless) this.#end = WORDS[told] ?? told
      this.#over = true
      this.changed()
    }
  }

  /** What QEMU answered when it was asked; `ioStatus` is of its disk (qapi/block-core.json, BlockDeviceIoStatus). */
  found(status: string, ioStatus?: string): void {
    const end = HOPELESS[status]
    if (end) this.#give(end)
    else if (status === "running") this.onEvent({ event: "RESUME", data: {} })
    else {
      const trouble = { running: false, reason: ioStatus === "nospace" ? "disk-full" : "io-error" } as const
      if (status === "io-error") this.#trouble ??= trouble
      this.onEvent({ event: "STOP", data: {} })
    }
  }

  /** Why it ended with `status`; `untold` if nothing was heard of that. Whatever it took to see it out. */
  reason(status: number | undefined, untold = reasonOf(status)): string {
    return this.#end ?? untold
  }

  #closed(id: unknown): void {
    if (id === AGENT_ID) this.portClosed("agent")
    if (id === GUEST_AGENT_ID) this.portClosed("guestAgent")
  }

  #give(end: string): void {
    this.#end = end
    this.#hopeless = true
    this.changed()
  }

  #become(guest: Guest): void {
    const { running, reason } = this.#guest
    this.#guest = guest
    if (running !== guest.running || reason !== guest.reason) this.changed()
  }
}

/** A quota, or a limit on a file's size, is a full disk to whoever has to make room. */
function troubleOf({ nospace, reason, operation }: QmpEvent["data"]): Guest {
  const words = typeof reason === "string" ? reason : "an I/O error"
  const full = nospace === true || /quota|too large/i.test(words)
  const message = `${String(operation)}: ${words}`
  return { running: false, reason: full ? "disk-full" : "io-error", message }
}
