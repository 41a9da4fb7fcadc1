import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"

const START = 3
const MOST = 8
/** Throughput is compared over so many milliseconds. */
const WINDOW_MS = 400
/** One lane more must bring so much more, or it is taken away again. */
const WORTH = 1.07
/** Windows to rest after a lane brought nothing, and after the registry complained. */
const REST = 10
const LONG_REST = 50

/** A place in the queue for a registry; leaving it lets the next one in. */
export interface Lane extends Disposable {
  /** So many bytes came. */
  moved(bytes: number): void
}

/**
 * How many bodies of blobs one registry sends us at a time. One more is tried as long as each brings more throughput;
 * half of them go when the registry is overloaded, throttles or stalls.
 */
export class Lanes {
  readonly #waiting: (() => void)[] = []
  #width: number
  #used = 0
  #holdUntil = 0
  #bytes = 0
  #since = 0
  #rate = 0
  #rest = 0
  #trying = false

  #most: number

  constructor(most = MOST) {
    this.#most = most
    this.#width = Math.min(START, most)
  }

  /** From now on at most so many; whoever is in stays until it leaves. */
  limit(most: number): void {
    this.#most = most
    this.#width = Math.min(this.#width, most)
  }

  get width(): number {
    return this.#width
  }

  async enter(call: Call = {}): Promise<Lane> {
    if (this.#used >= this.#width) await this.#turn(call)
    else this.#take()
    let held = true
    const leave = () => {
      if (held) this.#leave()
      held = false
    }
    try {
      call.signal?.throwIfAborted()
      const pause = this.#holdUntil - performance.now()
      if (pause > 0) await sleep(pause, undefined, { ...(call.signal && { signal: call.signal }) })
    } catch (error) {
      leave()
      throw error
    }
    return { moved: (bytes) => this.#moved(bytes), [Symbol.dispose]: leave }
  }

  #turn({ signal }: Call): Promise<void> {
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal?.removeEventListener("abort", give)
        resolve()
      }
      const give = () => {
        this.#waiting.splice(this.#waiting.indexOf(enter), 1)
        reject(signal?.reason)
      }
      if (signal?.aborted) return reject(signal.reason)
      this.#waiting.push(enter)
      signal?.addEventListener("abort", give, { once: true })
    })
  }

  /** The registry said that this was too much; with `pauseMs`, for how long nothing new is to be asked. */
  backOff(pauseMs = 0): void {
    this.#width = Math.max(1, this.#width >> 1)
    this.#trying = false
    this.#rest = LONG_REST
    this.#holdUntil = Math.max(this.#holdUntil, performance.now() + pauseMs)
  }

  #take(): void {
    this.#used++
    this.#restart()
  }

  #leave(): void {
    this.#used--
    this.#restart()
    this.#admit()
  }

  #admit(): void {
    while (this.#used < this.#width) {
      const next = this.#waiting.shift()
      if (!next) return
      this.#used++
      next()
    }
  }

  // What moved while not all lanes were used says nothing about their number.
  #restart(): void {
    if (this.#used >= this.#width) return
    this.#bytes = 0
    this.#since = performance.now()
  }

  #moved(bytes: number): void {
    this.#bytes += bytes
    const time = performance.now() - this.#since
    if (time < WINDOW_MS) return
    if (this.#used >= this.#width) this.#judge(this.#bytes / time)
    this.#bytes = 0
    this.#since = performance.now()
  }

  #judge(rate: number): void {
    if (this.#rest > 0) this.#rest--
    else if (!this.#trying || rate > this.#rate * WORTH) this.#widen()
    else {
      this.#width = Math.max(1, this.#width - 1)
      this.#trying = false
      this.#rest = REST
    }
    this.#rate = rate
    this.#admit()
  }

  #widen(): void {
    this.#trying = this.#width < this.#most
    if (this.#trying) this.#width++
  }
}

/** The lanes to each registry: whoever has this value in common shares them. */
export class RegistryLanes {
  readonly #lanes = new Map<string, Lanes>()

  /** Those to `host`, of which there are at most `most` from now on. */
  to(host: string, most = MOST): Lanes {
    const known = this.#lanes.get(host) ?? new Lanes(most)
    this.#lanes.set(host, known)
    known.limit(most)
    return known
  }
}
