import type { Bytes } from "../../content/interfaces.ts"
import { operation } from "../operation.ts"
import { count, flag, MOST_LINES } from "../query.ts"

/** Raw console bytes, or one JSON object a line where the client asks for it (spec/runtime-api.md, "Logs"). */
export const logs = operation(
  "GET",
  "/logs/{instance_id}",
  async ({ runtime, streams, request, query, path }) => {
    const follow = flag(query, "follow")
    const previous = flag(query, "previous")
    const tail = count(query, "tail", MOST_LINES)
    const lines = tail === undefined ? {} : { tail }
    const bytes = await streams.stream(follow ? "following" : "reading", () =>
      runtime.logs(path.instance_id, { follow, previous, ...lines, signal: request.signal }),
    )
    const ndjson = request.headers.get("accept")?.includes("application/x-ndjson") ?? false
    return new Response(ndjson ? entries(bytes) : bytes, {
      headers: { "content-type": ndjson ? "application/x-ndjson" : "application/octet-stream" },
    })
  },
)

/** A line without its end longer than this is cut, so that a guest that never ends a line cannot fill memory. */
const MAX_LINE = 64 << 10

/** `time` is when the runtime saw the line: for what was kept before the request, the request's own time. */
async function* entries(bytes: Bytes): Bytes {
  const decoder = new TextDecoder()
  let rest = ""
  const entry = (text: string) =>
    new TextEncoder().encode(
      `${JSON.stringify({ time: new Date().toISOString(), text: text.replace(/\r$/, "") })}\n`,
    )
  for await (const chunk of bytes) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = parts.pop() ?? ""
    for (const part of parts) yield entry(part)
    if (rest.length > MAX_LINE) {
      yield entry(rest)
      rest = ""
    }
  }
  if (rest !== "") yield entry(rest)
}
