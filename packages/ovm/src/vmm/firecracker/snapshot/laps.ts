import type { SnapshotTimings } from "../../snapshot.ts"

type Phase = "prepare" | "disk" | "state" | "finish"

/** Times a snapshot. */
export class Laps {
  readonly #began = performance.now()
  #lap = performance.now()
  readonly #phases: Record<Phase, number> = { prepare: 0, disk: 0, state: 0, finish: 0 }

  /** `phase` is over. */
  lap(phase: Phase): void {
    const now = performance.now()
    this.#phases[phase] += now - this.#lap
    this.#lap = now
  }

  /** Nothing is copied while the guest runs. */
  timings(ran: boolean): SnapshotTimings {
    const { disk, state } = this.#phases
    const paused = ran ? disk + state : 0
    return { ...this.#phases, copy: 0, paused, total: performance.now() - this.#began }
  }
}
