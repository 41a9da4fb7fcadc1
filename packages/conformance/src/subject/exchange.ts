import { request } from "node:http"
import { StringDecoder } from "node:string_decoder"
import { Failure } from "../check.ts"

export interface Question {
  readonly method: string
  readonly path: string
  readonly body?: string | Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  /** Told of each piece as it comes; true if that is enough. */
  readonly onData?: (text: string) => boolean
}

export interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
  /** The same as it came: `text` has no bytes that are not UTF-8. */
  readonly bytes: Buffer
}

const ANSWER_LIMIT = 16 << 20
/** An answer that is not there by then never comes. */
const ANSWER_MS = 60_000

/**
 * One request over a Unix socket, each by a connection of its own. Throws Failure if there is no answer in time, none
 * that is HTTP, or one without an end.
 */
export function exchange(socketPath: string, question: Question): Promise<Reply> {
  const { method, path, body, headers, signal, onData } = question
  const what = `${method} ${path.slice(0, 100)}`
  return new Promise((resolve, reject) => {
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", onAbort)
    }
    const refuse = (words: string) => {
      settle()
      outgoing.destroy()
      reject(new Failure(`${what}: ${words}`))
    }
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }
    const outgoing = request({
      socketPath,
      method,
      path,
      agent: false,
      headers: {
        host: "ovm",
        ...(body !== undefined && { "content-type": "application/json" }),
        ...length,
        ...headers,
      },
    })
    const timer = setTimeout(() => refuse(`no answer within ${ANSWER_MS / 1000} s`), ANSWER_MS)
    const onAbort = () => refuse("no answer in time")
    signal.addEventListener("abort", onAbort, { once: true })
    outgoing.on("error", (error) => refuse(error.message))
    outgoing.on("response", (incoming) => {
      let text = ""
      const pieces: Buffer[] = []
      const decoder = new StringDecoder("utf8")
      const done = () => {
        settle()
        text += decoder.end()
        const bytes = Buffer.concat(pieces)
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text, bytes })
      }
      incoming.on("data", (piece: Buffer) => {
        pieces.push(piece)
        text += decoder.write(piece)
        if (text.length > ANSWER_LIMIT) refuse(`an answer of more than ${ANSWER_LIMIT >> 20} MiB`)
        else if (onData?.(text)) {
          done()
          incoming.destroy()
        }
      })
      incoming.on("end", done)
      incoming.on("error", (error) => refuse(error.message))
    })
    if (signal.aborted) onAbort()
    else outgoing.end(body)
  })
}
