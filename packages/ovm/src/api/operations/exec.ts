import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { attachmentOf, count, flag } from "../query.ts"
import { parseExecControl, parseExecRequest } from "../requests.ts"

/** The most that a client may wait, in ms (spec/api/openapi.yaml). */
const MOST_WAIT_MS = 600_000

/** A command to its end, with what it has written. */
export const exec = operation("POST", "/instances/{instance_id}/exec", async ({ runtime, request, path }) => {
  const wanted = parseExecRequest(await readRequestBody(request))
  return json(await runtime.exec(path.instance_id, wanted, { signal: request.signal }))
})

/** A command for as long as the answer is read: what it writes, and its end. */
export const execStream = operation(
  "POST",
  "/instances/{instance_id}/exec/stream",
  async ({ runtime, streams, request, query, path }) => {
    const attachment = attachmentOf(query)
    const wanted = parseExecRequest(await readRequestBody(request))
    const { signal } = request
    const bytes = await streams.stream("executing", () =>
      runtime.execStream(path.instance_id, wanted, { attachment, signal }),
    )
    return new Response(bytes, { headers: { "content-type": "application/octet-stream" } })
  },
)

export const execInput = operation(
  "POST",
  "/instances/{instance_id}/exec/input",
  async ({ runtime, request, query, path }) => {
    const attachment = attachmentOf(query)
    const end = flag(query, "end")
    const bytes = await readRequestBody(request)
    await runtime.execType(path.instance_id, { attachment, bytes, end, signal: request.signal })
    return new Response(null, { status: 204 })
  },
)

export const execControl = operation(
  "POST",
  "/instances/{instance_id}/exec/control",
  async ({ runtime, request, query, path }) => {
    const attachment = attachmentOf(query)
    const wanted = parseExecControl(await readRequestBody(request))
    await runtime.execControl(path.instance_id, attachment, wanted)
    return new Response(null, { status: 204 })
  },
)

/** Answers once an agent answers inside. */
export const ready = operation(
  "GET",
  "/instances/{instance_id}/ready",
  async ({ runtime, request, query, path }) => {
    const timeoutMs = count(query, "timeout_ms", MOST_WAIT_MS)
    const { signal } = request
    return json(
      await runtime.ready(path.instance_id, { signal, ...(timeoutMs !== undefined && { timeoutMs }) }),
    )
  },
)
