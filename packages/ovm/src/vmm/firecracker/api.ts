import { OvmError } from "../../errors.ts"
import { workplaceOf } from "../process/jailed.ts"
import { type Dialled, dialIn } from "../process/socket.ts"

/** Where it works. */
export const API_SOCKET = "api.sock"

/** It answers within milliseconds, or seconds on a host that is far too busy. */
const ANSWER_MS = 5000
/** Of an answer with its head: the longest is its whole configuration. */
const MOST = 1 << 20

interface Waiting {
  readonly what: string
  readonly resolve: (body: unknown) => void
  readonly reject: (error: OvmError) => void
}

/**
 * A connection to Firecracker's API (src/firecracker/swagger/firecracker.yaml of its sources), which stays open: its
 * end is the end of the VMM. Answers come in the order of what was asked.
 */
export class Api {
  /** Settles once nothing more can be asked. */
  readonly closed: Promise<void>
  readonly #waiting: Waiting[] = []
  #socket: Dialled | undefined
  #heard = Buffer.alloc(0)

  private constructor(private readonly end: PromiseWithResolvers<void>) {
    this.closed = end.promise
  }

  /** Undefined if nobody listens in `directory`. */
  static async dial(directory: string): Promise<Api | undefined> {
    const api = new Api(Promise.withResolvers<void>())
    api.#socket = await dialIn(workplaceOf(directory), API_SOCKET, {
      data: (text) => api.#hear(text),
      ended: () => api.#ended(),
    })
    return api.#socket && api
  }

  /**
   * The answer's body; undefined without one. Throws OVM_VMM_FAILED with Firecracker's own words for what it refuses,
   * or if it has gone, OVM_VMM_TIMEOUT.
   */
  async ask(method: "GET" | "PUT" | "PATCH", path: string, body?: unknown, ms = ANSWER_MS): Promise<unknown> {
    const what = `${method} ${path}`
    if (!this.#socket) throw gone(what)
    const text = body === undefined ? "" : JSON.stringify(body)
    const head = `${what} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n`
    const length = body === undefined ? "" : `Content-Length: ${Buffer.byteLength(text)}\r\n`
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    // A late answer still has its place in the order.
    const late = () =>
      reject(new OvmError("OVM_VMM_TIMEOUT", `Firecracker did not answer ${what} within ${ms} ms`))
    const timer = setTimeout(late, ms)
    this.#waiting.push({ what, resolve, reject })
    this.#socket.write(`${head}${length}\r\n${text}`)
    return await promise.finally(() => clearTimeout(timer))
  }

  close(): void {
    this.#socket?.destroy()
    this.#ended()
  }

  #ended(): void {
    this.#socket = undefined
    for (const { what, reject } of this.#waiting.splice(0)) reject(gone(what))
    this.end.resolve()
  }

  #hear(text: string): void {
    this.#heard = Buffer.concat([this.#heard, Buffer.from(text)])
    for (let next = answerIn(this.#heard); next; next = answerIn(this.#heard)) {
      this.#heard = this.#heard.subarray(next.length)
      // Nothing was asked: what it says is not for anybody.
      const waiting = this.#waiting.shift()
      if (waiting) settle(waiting, next)
      else this.close()
    }
    if (this.#heard.length > MOST) this.close()
  }
}

interface Answer {
  readonly status: number
  readonly body: string
  /** Bytes that it takes. */
  readonly length: number
}

/** The first answer of what came; undefined if not all of it is there. */
function answerIn(heard: Buffer): Answer | undefined {
  const end = heard.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const head = heard.toString("latin1", 0, end)
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? 0)
  const size = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  const from = end + 4
  if (heard.length < from + size) return undefined
  return { status, body: heard.toString("utf8", from, from + size), length: from + size }
}

function settle({ what, resolve, reject }: Waiting, { status, body }: Answer): void {
  const read = parsed(body)
  if (status >= 200 && status < 300) {
    resolve(read)
    return
  }
  const { fault_message: fault } = (read ?? {}) as { readonly fault_message?: unknown }
  const words = typeof fault === "string" ? fault.replace(/\p{C}+/gu, " ").trim() : "it gives no reason"
  reject(
    new OvmError("OVM_VMM_FAILED", `Firecracker refused ${what}: ${words}`, {
      detail: { status, message: words },
    }),
  )
}

function parsed(body: string): unknown {
  try {
    return body === "" ? undefined : JSON.parse(body)
  } catch {
    return undefined
  }
}

function gone(what: string): OvmError {
  return new OvmError("OVM_VMM_FAILED", `Firecracker ended before it answered ${what}`)
}
