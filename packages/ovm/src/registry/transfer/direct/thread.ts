import { type Sha256, sha256 } from "../../../content/digest.ts"
import { BATCH } from "../../../files/batch.ts"
import type { Extent } from "../../../files/extents.ts"
import { overwriteNow } from "../../../files/sparse.ts"
import { reserve } from "../../../host/libc.ts"
import { Pace, tickOf } from "../../http/watch.ts"
import { HEAD_LIMIT, type Head, isPlain, isWhole, parseResponseHead } from "./head.ts"
import type { Job, Order, Outcome, Report } from "./protocol.ts"
import { Socket } from "./socket.ts"

// The other side of threads.ts: asks for a piece, receives it, hashes it if it is the whole blob, and writes it to its
// place, all out of the same memory and waiting in the kernel (docs/design/0011-transfer.md).

declare const self: Worker

/** Set aside ahead of what came, whatever the size of the piece (OVMS-LIM-004): a file system takes it at less cost. */
const AHEAD = 16 * 1024 * 1024
/**
 * Told of at once, of a piece and of a whole blob, and after so long: what is not told of is fetched again after a
 * kill.
 */
const NEWS = 2 * 1024 * 1024
const NEWS_OF_WHOLE = 8 * 1024 * 1024
const NEWS_MS = 200
/** Milliseconds after which, at the latest, a cancelled job is noticed. */
const LONGEST_TICK = 250

const buffer = Buffer.allocUnsafeSlow(BATCH)
let kept: { readonly to: string; readonly socket: Socket } | undefined

self.onmessage = ({ data: { job, cancelled } }: MessageEvent<Order>) => {
  const word = new Int32Array(cancelled)
  try {
    tell(new Moving(job, () => Atomics.load(word, 0) !== 0).run())
  } catch (error) {
    tell({ kind: "failed", message: String(error), code: (error as NodeJS.ErrnoException).code })
  }
}

function tell(report: Report): void {
  postMessage(report)
}

class Moving {
  readonly #tickMs: number
  readonly #pace: Pace
  readonly #hash: Sha256 | undefined
  /** Everything before this byte is written, and was told of up to `#told`. */
  #at: number
  #told: number
  #toldAt = performance.now()
  /** Up to here the file has room set aside. */
  #reserved: number

  constructor(
    private readonly job: Job,
    private readonly isCancelled: () => boolean,
  ) {
    const { extent, limits } = job
    this.#tickMs = Math.min(LONGEST_TICK, tickOf(limits))
    this.#pace = new Pace(limits)
    this.#at = extent.start
    this.#told = extent.start
    this.#reserved = extent.start
    if (isWhole(job)) this.#hash = sha256()
  }

  run(): Outcome {
    const to = `${this.job.address} ${this.job.port} ${this.#tickMs}`
    const old = kept
    kept = undefined
    let socket: Socket | undefined
    if (old?.to === to && old.socket.idle) socket = old.socket
    else old?.socket[Symbol.dispose]()
    socket ??= this.#connect()
    if (!socket) return this.#refused()
    let keep = false
    try {
      const head = socket.send(this.job.request) ? this.#head(socket) : this.#refused()
      if ("kind" in head) return head
      if (!isPlain(head, this.job)) return { kind: "refused", status: head.status }
      tell({ kind: "head", tag: head.headers.get("etag"), warning: head.headers.get("warning") })
      const outcome = this.#body(socket, head.over)
      keep = head.keep && outcome.kind === "done"
      return outcome
    } finally {
      if (keep) kept = { to, socket }
      else socket[Symbol.dispose]()
    }
  }

  #connect(): Socket | undefined {
    const until = performance.now() + this.job.limits.responseMs
    const waits = () => !this.isCancelled() && performance.now() < until
    return Socket.connect(this.job.address, this.job.port, this.#tickMs, waits)
  }

  #refused(): Outcome {
    return this.isCancelled() ? { kind: "cancelled" } : { kind: "refused", status: undefined }
  }

  /** The head, and how many bytes of the body came with it, which are at the beginning of the buffer. */
  #head(socket: Socket): (Head & { over: number }) | Outcome {
    const { responseMs } = this.job.limits
    const until = performance.now() + responseMs
    for (let count = 0; count < HEAD_LIMIT; ) {
      const came = socket.receive(buffer, count, BATCH - count, false)
      if (came === undefined || this.isCancelled()) return this.#refused()
      count += came
      const end = buffer.subarray(0, Math.min(count, HEAD_LIMIT)).indexOf("\r\n\r\n")
      if (end >= 0) {
        const head = parseResponseHead(buffer.toString("latin1", 0, end))
        buffer.copyWithin(0, end + 4, count)
        return head ? { ...head, over: count - end - 4 } : { kind: "refused", status: undefined }
      }
      if (performance.now() >= until) return { kind: "stalled", reason: `no answer within ${responseMs} ms` }
    }
    return { kind: "refused", status: undefined }
  }

  /** Receives the rest of the piece, of which `filled` bytes are in the buffer. */
  #body(socket: Socket, filled: number): Outcome {
    let count = filled
    while (true) {
      const wanted = Math.min(BATCH, this.job.extent.end - this.#at)
      if (count > wanted) return this.#ended(0, { kind: "broken", reason: "it sent more than it announced" })
      if (count === wanted) {
        this.#write(count)
        count = 0
        if (this.#at < this.job.extent.end) continue
        this.#tell()
        return { kind: "done", digest: this.#hash?.digest() }
      }
      const began = performance.now()
      const came = socket.receive(buffer, count, wanted - count, true)
      if (came === undefined) return this.#ended(count, { kind: "broken", reason: "the connection broke" })
      count += came
      if (this.isCancelled()) return this.#ended(count, { kind: "cancelled" })
      if (came > 0) this.#pace.came(came)
      const reason = this.#pace.waited(performance.now() - began)
      if (reason !== undefined) return this.#ended(count, { kind: "stalled", reason })
    }
  }

  #ended(count: number, outcome: Outcome): Outcome {
    if (count > 0) this.#write(count)
    this.#tell()
    return outcome
  }

  #write(count: number): void {
    this.#hash?.update(buffer.subarray(0, count))
    const { fd, size } = this.job
    overwriteNow({ fd, size }, buffer.subarray(0, count), this.#at, (extent) => this.#reserve(extent))
    this.#at += count
    const news = this.#hash ? NEWS_OF_WHOLE : NEWS
    if (this.#at - this.#told >= news || performance.now() - this.#toldAt >= NEWS_MS) this.#tell()
  }

  /** Where zeros come, what was set aside for them is given back as they are left out. */
  #reserve({ start, end }: Extent): void {
    if (end <= this.#reserved) return
    const { fd, extent } = this.job
    this.#reserved = Math.min(extent.end, start + AHEAD)
    reserve(fd, start, this.#reserved - start)
  }

  #tell(): void {
    if (this.#at > this.#told) tell({ kind: "written", at: this.#at })
    this.#told = this.#at
    this.#toldAt = performance.now()
  }
}
