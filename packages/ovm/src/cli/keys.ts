const CTRL_C = 0x03
const CTRL_P = 0x10
const CTRL_Q = 0x11

/** Two of them within this time are one wish. */
const TWICE_MS = 1000
/** How long a first key may wait for its second: one alone is for the guest. */
const HELD_MS = 1000

export interface KeyEvents {
  /** For the guest. */
  readonly send: (bytes: Uint8Array) => void
  /** Ctrl-P Ctrl-Q. */
  readonly detach: () => void
  /** Ctrl-C twice, and each Ctrl-C after that. */
  readonly stop: () => void
}

/** What a person types, parted into what is for the guest and what is for this program. */
export class Keys {
  #held: ReturnType<typeof setTimeout> | undefined
  #lastInterrupt = Number.NEGATIVE_INFINITY
  #stopping = false

  constructor(private readonly events: KeyEvents) {}

  /** All keys but those of a detach, and what follows them, go to the guest: a single Ctrl-C too. */
  press(bytes: Uint8Array): void {
    const out: number[] = []
    for (const key of bytes) {
      if (this.#held !== undefined) {
        this.#drop()
        if (key === CTRL_Q) {
          this.#send(out)
          this.events.detach()
          return
        }
        out.push(CTRL_P)
      }
      if (key === CTRL_P) this.#held = setTimeout(() => this.release(), HELD_MS)
      else out.push(key)
      if (key === CTRL_C) this.#interrupt()
    }
    this.#send(out)
  }

  /** What was held goes to the guest. */
  release(): void {
    if (this.#held === undefined) return
    this.#drop()
    this.#send([CTRL_P])
  }

  #drop(): void {
    clearTimeout(this.#held)
    this.#held = undefined
  }

  #interrupt(): void {
    const now = performance.now()
    if (this.#stopping || now - this.#lastInterrupt <= TWICE_MS) {
      this.#stopping = true
      this.events.stop()
    }
    this.#lastInterrupt = now
  }

  #send(keys: readonly number[]): void {
    if (keys.length > 0) this.events.send(Uint8Array.from(keys))
  }
}
