import type { LogsOptions } from "../../runtime/interfaces.ts"
import { operation } from "../operation.ts"
import { count, flag, instant, MOST_LINES } from "../query.ts"

/** Raw console bytes, or one JSON object a line where the client asks for it (spec/runtime-api.md, "Logs"). */
export const logs = operation(
  "GET",
  "/logs/{instance_id}",
  async ({ runtime, streams, request, query, path }) => {
    const tail = count(query, "tail", MOST_LINES)
    const since = instant(query, "since")
    const timestamps = request.headers.get("accept")?.includes("application/x-ndjson") ?? false
    const options: LogsOptions = {
      follow: flag(query, "follow"),
      previous: flag(query, "previous"),
      timestamps,
      signal: request.signal,
      ...(tail !== undefined && { tail }),
      ...(since !== undefined && { since }),
    }
    const bytes = await streams.stream(options.follow ? "following" : "reading", () =>
      runtime.logs(path.instance_id, options),
    )
    return new Response(bytes, {
      headers: { "content-type": timestamps ? "application/x-ndjson" : "application/octet-stream" },
    })
  },
)
