import { createInterface } from "node:readline"
import { Readable } from "node:stream"
import { encode } from "./messages.ts"
import type { Method } from "./methods.ts"

/** The one message of an answer. */
export async function messageOf({ answer, output }: Method, response: Response): Promise<Buffer> {
  if (answer === "nothing") return encode(output, {})
  if (answer === "text") return encode(output, { text: await response.text() })
  return encode(output, (await response.json()) as object)
}

/** The messages of an answer that goes on, as they come. */
export async function* messagesOf({ answer, output }: Method, response: Response): AsyncGenerator<Buffer> {
  const body = (response.body ?? []) as AsyncIterable<Uint8Array>
  if (answer === "pieces") {
    for await (const content of body) yield encode(output, { content })
    return
  }
  const prefix = answer === "events" ? "data: " : ""
  for await (const line of createInterface({
    input: Readable.from(body),
    crlfDelay: Number.POSITIVE_INFINITY,
  }))
    if (line !== "" && line.startsWith(prefix))
      yield encode(output, JSON.parse(line.slice(prefix.length)) as object)
}
