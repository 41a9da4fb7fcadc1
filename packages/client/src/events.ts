import { ApiError } from "./errors.ts"
import type { Bytes } from "./runtime.ts"
import type { RuntimeEvent } from "./wire.ts"

/** An event longer than this is none of a runtime's. */
const MOST_CHARACTERS = 1 << 20

/** The events in a stream of server-sent events, as a runtime writes them: one line of data each. */
export async function* eventsIn(bytes: Bytes): AsyncGenerator<RuntimeEvent> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) if (line.startsWith("data: ")) yield parsed(line.slice("data: ".length))
    if (rest.length > MOST_CHARACTERS) throw malformed()
  }
}

function parsed(text: string): RuntimeEvent {
  try {
    return JSON.parse(text) as RuntimeEvent
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause?: unknown): ApiError {
  return new ApiError("OVM_INTERNAL", "the daemon answered /events with what is no event", { cause })
}
