import type { IncomingMessage, ServerResponse } from "node:http"
import type { Bytes } from "../content/interfaces.ts"

/**
 * What an operation is told of a request. Not the web's own Request, whose constructor refuses some requests that can
 * come.
 */
export interface ApiRequest {
  readonly method: string
  /** Path and query as they came. */
  readonly target: string
  readonly headers: { get(name: string): string | null }
  readonly body: Bytes
  /** Aborted when the client has gone. */
  readonly signal: AbortSignal
  /** Its body is taken for as long as it comes: no time is set to it from now on. */
  goesOn(): void
}

/** `goesOn`: see ApiRequest. */
export function requestOf(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  goesOn: () => void,
): ApiRequest {
  const gone = new AbortController()
  outgoing.once("close", () => {
    if (!outgoing.writableFinished) gone.abort()
  })
  const { headers } = incoming
  return {
    method: incoming.method ?? "",
    target: incoming.url ?? "",
    headers: {
      get: (name) => {
        const value = headers[name]
        return value === undefined ? null : String(value)
      },
    },
    // Leaving off in the middle must not take the connection away: there is an answer to come.
    body: incoming.iterator({ destroyOnReturn: false }),
    signal: gone.signal,
    goesOn,
  }
}

/** True while some of the request is still to come. */
export function isComing({ headers, readableEnded }: IncomingMessage): boolean {
  const { "content-length": length = "0", "transfer-encoding": encoding } = headers
  return !readableEnded && (encoding !== undefined || length !== "0")
}

/**
 * Sends an answer, no faster than it is taken. False if the client has gone, or took nothing for `stalledMs`: then what
 * is left of the answer is let go of.
 */
export async function send(
  answer: Response,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  stalledMs: number,
): Promise<boolean> {
  outgoing.statusCode = answer.status
  for (const [name, value] of answer.headers) outgoing.setHeader(name, value)
  // Of a body that nobody read, the rest would be taken for the next request.
  if (isComing(incoming)) outgoing.setHeader("connection", "close")
  if (!isStream(answer)) {
    outgoing.end(answer.body && new Uint8Array(await answer.arrayBuffer()))
    return true
  }
  outgoing.flushHeaders()
  for await (const chunk of answer.body as ReadableStream<Uint8Array>) {
    if (outgoing.destroyed) return false
    if (!outgoing.write(chunk) && !(await taken(outgoing, stalledMs))) return false
  }
  outgoing.end()
  return true
}

function isStream(answer: Response): boolean {
  return answer.body !== null && !answer.headers.get("content-type")?.startsWith("application/json")
}

/** Waits until the client has taken what was written. */
function taken(outgoing: ServerResponse, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (value: boolean) => () => {
      clearTimeout(timer)
      outgoing.off("drain", drained)
      outgoing.off("close", closed)
      resolve(value)
    }
    const drained = settle(true)
    const closed = settle(false)
    const timer = setTimeout(closed, ms)
    outgoing.once("drain", drained)
    outgoing.once("close", closed)
  })
}
