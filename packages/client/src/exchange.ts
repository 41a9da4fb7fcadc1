import { KeptConnections } from "./kept.ts"
import type { Bytes, Call } from "./runtime.ts"
import { shortPath } from "./short-path.ts"

export interface Question extends Call {
  readonly method: "GET" | "POST" | "PUT" | "DELETE"
  readonly path: string
  /** JSON. */
  readonly body?: string
  /** Or what is none. */
  readonly bytes?: Uint8Array
  /** Or what comes by and by. */
  readonly content?: Bytes
  /** What the answer is to be, if that can be chosen. */
  readonly accept?: string
  /** By a connection of its own: one that is kept leads to whoever served the socket then. */
  readonly anew?: boolean
}

export interface Answer {
  readonly status: number
  /** The whole body, or the body as it comes: one of them, once. */
  text(): Promise<string>
  body(): Bytes
}

type Transport = (socket: string, question: Question, keep: KeptConnections | undefined) => Promise<Answer>

const kept = new Map<string, KeptConnections>()

function keptOf(socket: string): KeptConnections {
  const known = kept.get(socket) ?? new KeptConnections()
  kept.set(socket, known)
  return known
}

/**
 * One request over the Unix socket. Under Bun a connection may be kept for the next one if that comes soon, which saves
 * half a millisecond, but not for what is asked `anew`, and not by a descriptor's path, which may mean another folder
 * then. Answers as soon as the answer begins. There is no time limit: a console may be silent for hours. Throws what
 * the connection came to. A body throws if it breaks off; leaving it closes the connection.
 */
export async function exchange(socket: string, question: Question): Promise<Answer> {
  const short = shortPath(socket)
  try {
    const keep = short.text === socket && !question.anew ? keptOf(socket) : undefined
    return await transport(short.text, question, keep)
  } finally {
    short.close()
  }
}

/** Bun's own, where that is: there, loading node:http would add 6 ms to the 13 of an `ovm ps`. */
const transport: Transport = "Bun" in globalThis ? overFetch : overHttp

/** What says how it is asked. */
function headersOf({ accept, body, bytes, content }: Question): Record<string, string> {
  const type = body === undefined ? "application/octet-stream" : "application/json"
  const any = body !== undefined || bytes !== undefined || content !== undefined
  return { ...(accept !== undefined && { accept }), ...(any && { "content-type": type }) }
}

async function overFetch(
  unix: string,
  question: Question,
  keep: KeptConnections | undefined,
): Promise<Answer> {
  const { method, path, body, bytes, signal } = question
  const content = body ?? bytes ?? question.content
  const keepalive = keep?.take() ?? false
  const response = await fetch(`http://ovm${path}`, {
    unix,
    timeout: false,
    keepalive,
    method,
    headers: headersOf(question),
    // Bun takes what comes by and by as it is, and no faster than it is sent.
    ...(content !== undefined && { body: content as RequestInit["body"] }),
    ...(signal && { signal }),
  })
  return {
    status: response.status,
    text: async () => {
      const text = await response.text()
      if (keepalive) keep?.done()
      return text
    },
    body: async function* () {
      yield* response.body ?? nothing()
      if (keepalive) keep?.done()
    },
  }
}

async function overHttp(socketPath: string, question: Question): Promise<Answer> {
  const { method, path, body, bytes, signal } = question
  const { request } = await import("node:http")
  const { pipeline } = await import("node:stream/promises")
  const content = body ?? bytes
  const length = content !== undefined && { "content-length": Buffer.byteLength(content) }
  return await new Promise<Answer>((resolve, reject) => {
    const headers = { host: "ovm", ...headersOf(question), ...length }
    const outgoing = request({ socketPath, method, path, headers, agent: false, ...(signal && { signal }) })
    outgoing.on("error", reject)
    outgoing.on("response", (incoming) => {
      // It is thrown to whoever reads the body, now or later.
      incoming.on("error", () => {})
      resolve({
        status: incoming.statusCode ?? 0,
        text: () => textOf(incoming),
        body: () => incoming,
      })
    })
    if (question.content) pipeline(question.content, outgoing).catch(reject)
    else outgoing.end(content)
  })
}

async function textOf(body: Bytes): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

async function* nothing(): Bytes {}
