import { operation } from "../operation.ts"
import { attachmentOf, count, MOST_LINES } from "../query.ts"

/** The console, with the keyboard for as long as the answer is read. */
export const attachConsole = operation(
  "GET",
  "/instances/{instance_id}/attach",
  async ({ runtime, streams, request, query, path }) => {
    const attachment = attachmentOf(query)
    const tail = count(query, "tail", MOST_LINES)
    const { signal } = request
    const bytes = await streams.stream("following", () =>
      runtime.attach(path.instance_id, { attachment, signal, ...(tail !== undefined && { tail }) }),
    )
    return new Response(bytes, { headers: { "content-type": "application/octet-stream" } })
  },
)
