import type { StoppedProcess } from "../vmm/process/stopped.ts"
import type { Degraded } from "./interfaces.ts"

/** What of a machine is not as it should be though its VMM lives: of no use to a later daemon, which looks itself. */
export class LostParts {
  readonly #lost = new Set<Degraded>()
  #stopped: readonly StoppedProcess[] = []

  /** Each once. */
  get all(): readonly Degraded[] {
    return [...new Set([...this.#lost, ...this.#stopped.map(({ part }) => part)])]
  }

  /** Until all of them are made anew. */
  lose(part: Degraded): void {
    this.#lost.add(part)
  }

  /** Those that are stopped just now: unlike what is lost, they may go on. */
  stop(stopped: readonly StoppedProcess[]): void {
    this.#stopped = stopped
  }

  /** What a status says of those. */
  get warnings(): readonly string[] {
    return this.#stopped.map(
      ({ part, name, pid }) =>
        `${part}: a signal has stopped ${name} (process ${pid}); kill -CONT ${pid} has it go on`,
    )
  }

  /** All of them are made anew. */
  clear(): void {
    this.#lost.clear()
    this.#stopped = []
  }
}
