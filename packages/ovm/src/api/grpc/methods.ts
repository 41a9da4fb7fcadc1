import type { Bytes } from "../../content/interfaces.ts"
import type { ApiRequest } from "../exchange.ts"
import table from "./generated/methods.json" with { type: "json" }

/** A method of the service, and the operation of spec/api/openapi.yaml that it is. */
export interface Method {
  /** As spec/api/ovms.proto names it. */
  readonly name: string
  readonly method: string
  readonly path: string
  /** Name of the message that it takes, and of the one that it gives. */
  readonly input: string
  readonly output: string
  /** Names of the fields that are query parameters. */
  readonly query: readonly string[]
  /** What of the message is the body: all of it, its field `request`, what its fields `content` bring, `{}`. */
  readonly body: "message" | "request" | "content" | "empty" | "none"
  readonly accept: string
  /** How the answer's body becomes messages. */
  readonly answer: "message" | "nothing" | "text" | "pieces" | "lines" | "events"
}

export const METHODS = table as readonly Method[]

/** Whether it gives messages for as long as the answer goes on. */
export function streamsOut({ answer }: Method): boolean {
  return answer === "pieces" || answer === "lines" || answer === "events"
}

/**
 * The request of the operation. `message` as JSON has it; `content` is the body of those that take bytes. What is wrong
 * with it the operation says.
 */
export function requestFor(
  method: Method,
  message: Readonly<Record<string, unknown>>,
  content: Bytes,
  signal: AbortSignal,
): ApiRequest {
  const path = method.path.replace(/\{(\w+)\}/g, (_, name: string) =>
    encodeURIComponent(`${message[name] ?? ""}`),
  )
  const query = new URLSearchParams()
  for (const name of method.query) if (message[name] !== undefined) query.set(name, `${message[name]}`)
  const headers = new Headers({ accept: method.accept })
  return {
    method: method.method,
    target: query.size > 0 ? `${path}?${query}` : path,
    headers,
    body: method.body === "content" ? content : once(JSON.stringify(jsonBody(method, message))),
    signal,
    goesOn: () => {},
  }
}

function jsonBody({ body }: Method, message: Readonly<Record<string, unknown>>): unknown {
  if (body === "message") return message
  return body === "request" ? (message.request ?? {}) : {}
}

async function* once(text: string): Bytes {
  yield Buffer.from(text)
}
