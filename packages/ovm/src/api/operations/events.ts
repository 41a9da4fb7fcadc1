import type { Bytes } from "../../content/interfaces.ts"
import type { RuntimeEvent } from "../../runtime/interfaces.ts"
import { operation } from "../operation.ts"
import { flag } from "../query.ts"

/** So that a connection whose client has gone is noticed. */
const SILENCE_MS = 15_000

/** Server-sent events (spec/runtime-api.md, "GET /events"). */
export const events = operation("GET", "/events", async ({ runtime, streams, request, query }) => {
  const follow = flag(query, "follow")
  const after = query.get("after") ?? request.headers.get("last-event-id") ?? undefined
  const bytes = await streams.stream(follow ? "following" : "reading", async () => {
    const all = await runtime.events({
      follow,
      signal: request.signal,
      ...(after !== undefined && { after }),
    })
    return written(all)
  })
  return new Response(bytes, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
  })
})

/** With a comment where there is nothing to tell for long. */
async function* written(all: AsyncIterable<RuntimeEvent>): Bytes {
  const encoder = new TextEncoder()
  const source = all[Symbol.asyncIterator]()
  let next = source.next()
  try {
    for (;;) {
      const timer = Promise.withResolvers<undefined>()
      const bell = setTimeout(timer.resolve, SILENCE_MS, undefined)
      const found = await Promise.race([next, timer.promise]).finally(() => clearTimeout(bell))
      if (found?.done) return
      if (found) next = source.next()
      yield encoder.encode(
        found ? `id: ${found.value.id}\ndata: ${JSON.stringify(found.value)}\n\n` : ": still here\n\n",
      )
    }
  } finally {
    await source.return?.()
  }
}
