import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import type { ApiRequest } from "./exchange.ts"
import { flag } from "./routes.ts"

/** Console streams that one daemon serves at a time: those that follow do not keep others from a look (spec/limits.md). */
const MAX_STREAMS = 128
const open = { following: 0, reading: 0 }

/**
 * GET /logs/{instance_id}: raw console bytes, or one JSON object a line where the client asks for it
 * (spec/runtime-api.md, "Logs"). Throws OVM_TOO_MANY above the limit on open streams (OVMS-LIM-011, OVMS-LIM-022).
 */
export async function logsResponse(context: {
  runtime: Runtime
  request: ApiRequest
  url: URL
  id: string
}): Promise<Response> {
  const { runtime, request, url, id } = context
  const follow = flag(url, "follow")
  const kind = follow ? "following" : "reading"
  if (open[kind] >= MAX_STREAMS)
    throw new OvmError("OVM_TOO_MANY", `${MAX_STREAMS} log streams are open (${kind}), which is the limit`)
  const bytes = await runtime.logs(id, { follow, signal: request.signal })
  const ndjson = request.headers.get("accept")?.includes("application/x-ndjson") ?? false
  return new Response(counted(ndjson ? lines(bytes) : bytes, kind), {
    headers: { "content-type": ndjson ? "application/x-ndjson" : "application/octet-stream" },
  })
}

async function* counted(bytes: Bytes, kind: keyof typeof open): Bytes {
  open[kind]++
  try {
    yield* bytes
  } finally {
    open[kind]--
  }
}

/** A line without its end longer than this is cut, so that a guest that never ends a line cannot fill memory. */
const MAX_LINE = 64 << 10

/** `time` is when the runtime saw the line: for what was kept before the request, the request's own time. */
async function* lines(bytes: Bytes): Bytes {
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
