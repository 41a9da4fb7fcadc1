import type { Socket } from "node:net"
import { Pace, tickOf } from "../../http/watch.ts"
import { connectionTo, keep } from "./connections.ts"
import { HEAD_LIMIT, type Head, isPlain, parseResponseHead } from "./head.ts"
import { IncomingPiece } from "./incoming-piece.ts"
import type { Job, Outcome, Report } from "./protocol.ts"

/** One job: asks for a piece, and puts it where it belongs as it comes. */
export class Moving {
  readonly #settled = Promise.withResolvers<Outcome>()
  readonly #piece: IncomingPiece
  readonly #pace: Pace
  #ended = false
  #socket: Socket | undefined
  /** The head as far as it came; undefined once it is read. */
  #head: Buffer | undefined = Buffer.of()
  #keeps = false
  #timer: ReturnType<typeof setTimeout> | undefined
  readonly #came = (chunk: Buffer) => this.#guarded(() => this.#take(chunk))
  readonly #closed = () => this.end(this.#head ? REFUSED : { kind: "broken", reason: "the connection broke" })

  constructor(
    private readonly job: Job,
    private readonly tell: (report: Report) => void,
  ) {
    this.#piece = new IncomingPiece(job, (at) => tell({ kind: "written", at }))
    this.#pace = new Pace(job.limits)
  }

  /** Does it, once. */
  outcome(): Promise<Outcome> {
    void this.#ask()
    return this.#settled.promise
  }

  async #ask(): Promise<void> {
    const { endpoint, request, limits } = this.job
    const { responseMs } = limits
    const socket = await connectionTo(endpoint, responseMs)
    if (!socket || this.#ended) {
      socket?.destroy()
      this.end(REFUSED)
      return
    }
    this.#socket = socket
    this.#timer = setTimeout(
      () => this.end({ kind: "stalled", reason: `no answer within ${responseMs} ms` }),
      responseMs,
    )
    socket.on("data", this.#came)
    socket.on("close", this.#closed)
    socket.write(request, "latin1")
  }

  /** Ends it, if it has not ended yet; what came is written before. */
  end(outcome: Outcome): void {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    const socket = this.#socket
    socket?.off("data", this.#came)
    socket?.off("close", this.#closed)
    if (socket && this.#keeps && outcome.kind === "done") keep(this.job.endpoint, socket)
    else socket?.destroy()
    this.#settled.resolve(outcome.kind === "failed" ? outcome : this.#flushed(outcome))
  }

  #flushed(outcome: Outcome): Outcome {
    try {
      this.#piece.flush()
      return outcome
    } catch (thrown) {
      return failed(thrown)
    }
  }

  #guarded(work: () => void): void {
    try {
      work()
    } catch (thrown) {
      this.end(failed(thrown))
    }
  }

  #take(chunk: Buffer): void {
    if (this.#head) this.#takeHead(Buffer.concat([this.#head, chunk]))
    else this.#takeBody(chunk)
  }

  #takeBody(chunk: Buffer): void {
    this.#pace.came(chunk.byteLength)
    // Whoever sends more than was asked for is asked over another connection.
    if (chunk.byteLength > this.#piece.left) this.#keeps = false
    this.#piece.add(chunk.subarray(0, this.#piece.left))
    if (this.#piece.left === 0) this.end({ kind: "done", digest: this.#piece.digest })
  }

  #takeHead(bytes: Buffer): void {
    this.#head = bytes
    const end = bytes.subarray(0, HEAD_LIMIT).indexOf("\r\n\r\n")
    if (end < 0 && bytes.length < HEAD_LIMIT) return
    const head = end < 0 ? undefined : parseResponseHead(bytes.toString("latin1", 0, end))
    if (head && isPlain(head, this.job)) this.#begin(head, bytes.subarray(end + 4))
    else this.end({ kind: "refused", status: head?.status })
  }

  /** The answer is as it should be, and `first` came with its head. */
  #begin(head: Head, first: Buffer): void {
    this.#head = undefined
    this.#keeps = head.keep
    this.tell({ kind: "head", tag: head.headers.get("etag"), warning: head.headers.get("warning") })
    this.#watch()
    if (first.length > 0) this.#takeBody(first)
  }

  /** From now on the body must come fast enough. */
  #watch(): void {
    clearTimeout(this.#timer)
    const tick = tickOf(this.job.limits)
    this.#timer = setInterval(() => {
      const reason = this.#pace.waited(tick)
      if (reason !== undefined) this.end({ kind: "stalled", reason })
    }, tick)
  }
}

const REFUSED: Outcome = { kind: "refused", status: undefined }

function failed(thrown: unknown): Outcome {
  return { kind: "failed", message: String(thrown), code: (thrown as NodeJS.ErrnoException).code }
}
