import type { SnapshotTimings } from "../../snapshot.ts"
import type { Qmp } from "../qmp.ts"

type Phase = "prepare" | "copy" | "disk" | "state" | "finish"

/** Times a snapshot. How long the guest stood still is told by QEMU's own events, whose times are exact. */
export class Clock {
  readonly #began = performance.now()
  #lap = performance.now()
  readonly #phases: Record<Phase, number> = { prepare: 0, copy: 0, disk: 0, state: 0, finish: 0 }
  #stopped: number | undefined
  #resumed: number | undefined
  readonly stop: () => void

  constructor(qmp: Qmp) {
    this.stop = qmp.subscribe(({ event, time }) => {
      if (event === "STOP") this.#stopped = time
      if (event === "RESUME") this.#resumed = time
    })
  }

  /** `phase` is over. */
  lap(phase: Phase): void {
    const now = performance.now()
    this.#phases[phase] += now - this.#lap
    this.#lap = now
  }

  timings(ran: boolean): SnapshotTimings {
    const { disk, state } = this.#phases
    const told =
      this.#stopped === undefined || this.#resumed === undefined ? undefined : this.#resumed - this.#stopped
    const paused = ran ? (told ?? disk + state) : 0
    return { ...this.#phases, paused, total: performance.now() - this.#began }
  }
}
