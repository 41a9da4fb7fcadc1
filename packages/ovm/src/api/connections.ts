import type { Socket } from "node:net"

/** What bounds the connections of one socket (spec/limits.md). Times in ms. */
export interface ConnectionLimits {
  /** Above so many, what a connection asks for is refused in words; above twice as many, it is cut. */
  readonly connections: number
  /** How long a request may take to come whole, and a connection to begin with one. */
  readonly requestMs: number
  /** How long a client may take none of a stream: a pager, or a Ctrl-Z, is one of a person who comes back. */
  readonly stalledMs: number
  /** Requests that one connection may have waiting for their answers: one is some 20 KiB, and 32 bytes to send. */
  readonly waiting: number
}

export const CONNECTION_LIMITS: ConnectionLimits = {
  connections: 1024,
  requestMs: 30_000,
  stalledMs: 3_600_000,
  waiting: 1024,
}

/**
 * What is open at a socket: whoever asks for nothing, or takes for ever to ask, is cut off (OVMS-LIM-020,
 * OVMS-LIM-021).
 */
export class Connections {
  /** When each is cut off; infinite while something is done for it. */
  readonly #until = new Map<Socket, number>()
  /** How many requests of each wait for their answers. */
  readonly #waiting = new WeakMap<Socket, number>()
  #timer: ReturnType<typeof setInterval> | undefined

  constructor(private readonly limits: ConnectionLimits) {}

  /** True if there are more than there may be. */
  get full(): boolean {
    return this.#until.size > this.limits.connections
  }

  admit(socket: Socket): void {
    if (this.#until.size >= 2 * this.limits.connections) {
      socket.destroy()
      return
    }
    this.#until.set(socket, performance.now() + this.limits.requestMs)
    socket.once("close", () => this.#forget(socket))
    this.#timer ??= setInterval(() => this.#sweep(), Math.min(1000, this.limits.requestMs))
  }

  /** One more of its requests waits, until `answered`. False if that is too many: it is cut off (OVMS-LIM-023). */
  asks(socket: Socket): boolean {
    const waiting = (this.#waiting.get(socket) ?? 0) + 1
    this.#waiting.set(socket, waiting)
    if (waiting <= this.limits.waiting) return true
    this.drop(socket)
    return false
  }

  answered(socket: Socket): void {
    this.#waiting.set(socket, (this.#waiting.get(socket) ?? 1) - 1)
  }

  /** The next request, or the end, has to come within `ms`. */
  expect(socket: Socket, ms = this.limits.requestMs): void {
    this.#cutAt(socket, performance.now() + ms)
  }

  /** Something is done for it, however long that takes. */
  serve(socket: Socket): void {
    this.#cutAt(socket, Number.POSITIVE_INFINITY)
  }

  drop(socket: Socket): void {
    socket.destroy()
    this.#forget(socket)
  }

  /**
   * Not for a connection that has closed meanwhile: entered anew, it would never be taken out, since it closes once
   * only.
   */
  #cutAt(socket: Socket, when: number): void {
    if (this.#until.has(socket)) this.#until.set(socket, when)
  }

  close(): void {
    for (const socket of this.#until.keys()) socket.destroy()
    clearInterval(this.#timer)
  }

  #forget(socket: Socket): void {
    this.#until.delete(socket)
    if (this.#until.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #sweep(): void {
    const now = performance.now()
    for (const [socket, until] of this.#until) if (until <= now) this.drop(socket)
  }
}
