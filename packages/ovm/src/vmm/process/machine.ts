import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import type { Exit, Machine, MachineRecord, StopMethod } from "../machine.ts"
import { exitOf, waitForExit } from "./exit.ts"
import { isAlive, kill, usageOf } from "./identity.ts"
import { unkillable } from "./stray.ts"

/** How long a VMM may take to end by itself after SIGTERM, and any process after SIGKILL. */
const END_MS = 5000
const LOOK_MS = 10

/**
 * A machine whose VMM cannot be given commands: its process is all that is known of it, and enough to see it end and to
 * end it by. For any VMM, one that no adapter is there for included.
 */
export class ProcessMachine implements Machine {
  readonly timings = { spawn: 0, load: 0 }
  /** Nobody can say. */
  readonly guest = { running: false } as const
  readonly exited: Promise<Exit>
  readonly #detached = new AbortController()
  /** Saves waiting for the next look. */
  readonly #gone = Promise.withResolvers<void>()

  /** `told`, if given, is asked once the process is gone: who knows the VMM may know why. It must not reject. */
  constructor(
    readonly record: MachineRecord,
    private readonly told?: () => Promise<Exit>,
  ) {
    this.exited = new Promise((resolve) => this.#watchEnd(resolve))
  }

  async #watchEnd(settle: (exit: Exit) => void): Promise<void> {
    const { signal } = this.#detached
    const status = await waitForExit(this.record.directory, this.record, {
      hint: this.#gone.promise,
      signal,
    })
    if (!signal.aborted) settle(await (this.told?.() ?? exitOf(this.record, status)))
  }

  onGuest(): void {}

  usage() {
    return usageOf(this.record)
  }

  pause(): Promise<void> {
    return Promise.reject(unreachable(this.record))
  }

  resume(): Promise<void> {
    return Promise.reject(unreachable(this.record))
  }

  /**
   * SIGTERM lets a VMM bring what it holds to its disk; there is no power button that could be pressed, so nothing
   * waits for one.
   */
  async stop(): Promise<StopMethod> {
    if (!(await kill(this.record, "SIGTERM"))) return "already"
    if (await this.#ends()) return "ended"
    await kill(this.record)
    if (await this.#ends()) return "killed"
    throw unkillable(this.record.directory, this.record.pid)
  }

  detach(): void {
    this.#detached.abort()
  }

  async #ends(): Promise<boolean> {
    for (let waited = 0; waited < END_MS; waited += LOOK_MS) {
      if (!(await isAlive(this.record))) {
        this.#gone.resolve()
        return true
      }
      await sleep(LOOK_MS)
    }
    return false
  }
}

/** What a request that needs the VMM is answered (OVMS-STA-023). */
export function unreachable({ vmm, pid, directory }: MachineRecord, cause?: OvmError): OvmError {
  const why = cause ? `: ${cause.message}` : ""
  return new OvmError("OVM_VMM_UNREACHABLE", `${vmm} (pid ${pid}) in ${directory} cannot be asked${why}`, {
    cause,
    hint: "it is tried again; ovm stop and ovm rm --force end it all the same",
  })
}
