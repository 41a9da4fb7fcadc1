import type { Descriptor } from "../../content/descriptor.ts"
import type { Bytes, Incoming } from "../../content/interfaces.ts"
import { sizeMismatch } from "../../content/verify.ts"
import { OvmError } from "../../errors.ts"
import type { Extent } from "../../files/extents.ts"
import { isObject } from "../../objects.ts"
import { type Answer, discard, readBody } from "../http/http.ts"
import { Pauses, Transient } from "../http/retry.ts"
import type { RegistryRequest } from "../transport/request.ts"
import type { Transport } from "../transport/transport.ts"
import { type Position, pour } from "./answer.ts"
import { rangeFault } from "./content-range.ts"
import { fetchDirectly } from "./direct/fetch.ts"
import { isWhole } from "./direct/head.ts"
import type { Lane, Lanes } from "./lanes.ts"

/** More lanes than a registry is ever asked for wait in vain, so no blob has more. */
const LANES = 8
/** A request costs a registry some milliseconds, so a blob comes in about so many pieces, none larger than this. */
const PIECES = 16
const LARGEST = 64 * 1024 * 1024
/** So much without a failure, and earlier failures are forgotten. */
const PROGRESS = 1024 * 1024

/** The registry does not serve ranges of this blob as it should; another way of reading it may do. */
class Unusable extends Error {}

/** A blob, how it is asked for, and where it is put. */
export interface Filling {
  readonly target: Descriptor
  readonly request: RegistryRequest
  readonly into: Incoming
}

/** Fetches what is missing of one blob by ranges, several at a time. */
export class Ranged {
  readonly #queue: Extent[]
  readonly #lanes: Lanes
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #ready: () => void = () => {}
  /** Kept once the first range came as it should: until then nothing else is asked. */
  readonly #proven = new Promise<void>((resolve) => {
    this.#ready = resolve
  })
  #tag: string | null | undefined
  #direct: URL | undefined
  #whole: Answer | undefined

  constructor(
    private readonly transport: Transport,
    private readonly filling: Filling,
    private readonly moved: (bytes: number) => void,
  ) {
    const { target, request, into } = filling
    const wanted = Math.max(transport.limits.rangeBytes, Math.min(LARGEST, Math.ceil(target.size / PIECES)))
    this.#queue = into.missing().flatMap((extent) => pieces(extent, wanted))
    this.#lanes = transport.lanes.to(transport.host, transport.maxConcurrency)
    this.#signal = request.signal ? AbortSignal.any([request.signal, this.#stop.signal]) : this.#stop.signal
  }

  /**
   * True when nothing is missing any more. False if the registry does not serve ranges as it should; then `whole` may
   * be its answer with everything. Throws OvmErrors; what came until then is written.
   */
  async fill(): Promise<boolean> {
    const width = Math.min(LANES, this.#queue.length)
    const running = Array.from({ length: width }, (_, index) => this.#run(index > 0))
    const results = await Promise.allSettled(running)
    const failures = results.flatMap((result) => (result.status === "rejected" ? [result.reason] : []))
    const [reason] = this.#stop.signal.aborted ? [this.#stop.signal.reason] : failures
    if (reason === undefined) return true
    if (reason instanceof Unusable) return false
    throw reason
  }

  /** The registry's answer with the whole blob, if that is what it gave. */
  get whole(): Answer | undefined {
    return this.#whole
  }

  async #run(waits: boolean): Promise<void> {
    // Each for itself: what strikes all of them at once is one failure to each.
    const pauses = new Pauses(this.transport.limits, { signal: this.#signal })
    try {
      if (waits) await this.#proven
      while (this.#queue.length > 0 && !this.#signal.aborted) {
        using lane = await this.#lanes.enter({ signal: this.#signal })
        const piece = this.#queue.shift()
        if (piece) await this.#piece(piece, lane, pauses)
      }
    } catch (error) {
      // An answer that is to be read on must not be cut off by what stops the others.
      if (!this.#whole && !this.#signal.aborted) this.#stop.abort(error)
      throw error
    } finally {
      this.#ready()
    }
  }

  async #piece(piece: Extent, lane: Lane, pauses: Pauses): Promise<void> {
    const position: Position = { at: piece.start }
    try {
      const moved = (bytes: number) => {
        lane.moved(bytes)
        this.moved(bytes)
      }
      if (!(await this.#directly(piece, position, moved))) {
        const answer = await this.#open(piece)
        this.#ready()
        const body = readBody(answer, this.transport.limits, { signal: this.#signal })
        await pour(this.#exactly(piece, body), this.filling.into, position, moved)
      }
      pauses.forget()
    } catch (error) {
      if (position.at - piece.start >= PROGRESS) pauses.forget()
      if (position.at < piece.end) this.#queue.unshift({ start: position.at, end: piece.end })
      if (isOverload(error)) this.#lanes.backOff(error.pauseMs)
      if (error instanceof Unusable) throw error
      await pauses.after(error)
    }
  }

  /**
   * Has a thread of its own fetch `piece`, where all that it takes is a connection. False if nothing came that way and
   * the usual one is to be gone.
   */
  async #directly(piece: Extent, position: Position, moved: (bytes: number) => void): Promise<boolean> {
    const { file } = this.filling.into
    const direct =
      file &&
      (await this.transport.direct({
        ...this.filling.request,
        url: this.#direct ?? this.filling.request.url,
        signal: this.#signal,
      }))
    if (!direct) return false
    const { size } = this.filling.target
    const alongside = isWhole({ extent: piece, size })
    const events = {
      onHead: (tag: string | null, warning: string | null) => {
        this.#tag = tag
        this.transport.warned(warning, direct.url)
        this.#ready()
      },
      onWritten: (at: number) => {
        file.wrote({ start: position.at, end: at }, alongside)
        const bytes = at - position.at
        position.at = at
        moved(bytes)
      },
    }
    const question = { ...direct, extent: piece, size, tag: this.#tag, limits: this.transport.limits }
    const result = await fetchDirectly(question, file, events, this.#signal)
    if (result === "unsuitable") this.transport.avoidDirect(direct.url)
    return result === "done"
  }

  /** The answer to a request for exactly `piece`. */
  async #open(piece: Extent): Promise<Answer> {
    const { request } = this.filling
    const url = this.#direct ?? request.url
    const headers = { ...request.headers, Range: `bytes=${piece.start}-${piece.end - 1}` }
    try {
      const answer = await this.transport.exchange({ ...request, url, headers, signal: this.#signal })
      await this.#check(answer, piece)
      // Where a registry redirects to its storage, the next range goes there at once.
      if (new URL(request.url, answer.url).href !== answer.url.href) this.#direct = answer.url
      return answer
    } catch (error) {
      if (error instanceof OvmError && url !== request.url) {
        // Such addresses expire.
        if (this.#direct === url) this.#direct = undefined
        return this.#open(piece)
      }
      if (error instanceof OvmError && statusOf(error) === 416) throw new Unusable("416", { cause: error })
      throw error
    }
  }

  async #check(answer: Answer, piece: Extent): Promise<void> {
    const { headers, status } = answer.response
    if (status === 200 && this.#tag === undefined) {
      this.#whole = answer
      throw new Unusable("it sends the whole blob")
    }
    const tag = headers.get("etag")
    const fault =
      status !== 206
        ? `its status is ${status}`
        : this.#tag !== undefined && this.#tag !== tag
          ? "its ETag has changed"
          : rangeFault(headers, piece, this.filling.target.size)
    if (fault === undefined) {
      this.#tag = tag
      return
    }
    await discard(answer.response)
    throw new Unusable(fault)
  }

  async *#exactly({ start, end }: Extent, content: Bytes): Bytes {
    let left = end - start
    for await (const chunk of content) {
      left -= chunk.byteLength
      if (left < 0) throw new Unusable("it sends more than the range that was asked for")
      yield chunk
    }
    if (left > 0)
      throw new Transient(sizeMismatch(this.filling.target, `${end - left}`, `${this.transport.host}'s copy`))
  }
}

function pieces({ start, end }: Extent, size: number): Extent[] {
  const count = Math.ceil((end - start) / size)
  return Array.from({ length: count }, (_, index) => ({
    start: start + index * size,
    end: Math.min(end, start + (index + 1) * size),
  }))
}

/** True for what fewer requests at a time may cure. */
function isOverload(error: unknown): error is Transient {
  return error instanceof Transient && error.error.code !== "OVM_REGISTRY_UNREACHABLE"
}

function statusOf({ detail }: OvmError): unknown {
  return isObject(detail) ? detail.status : undefined
}
