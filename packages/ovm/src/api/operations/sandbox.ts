import { json, MAX_SANDBOX_BODY, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseSandboxRequest } from "../requests.ts"

/** A command in a machine of its own, to its end. */
export const sandbox = operation("POST", "/sandbox", async ({ runtime, streams, request }) =>
  streams.work("sandboxes", async () => {
    const wanted = parseSandboxRequest(await readRequestBody(request, MAX_SANDBOX_BODY))
    return json(await runtime.sandbox(wanted, { signal: request.signal }))
  }),
)

/** The same, and what it writes as it comes. */
export const sandboxStream = operation("POST", "/sandbox/stream", async ({ runtime, streams, request }) => {
  const bytes = await streams.stream("sandboxes", async () => {
    const wanted = parseSandboxRequest(await readRequestBody(request, MAX_SANDBOX_BODY))
    return await runtime.sandboxStream(wanted, { signal: request.signal })
  })
  return new Response(bytes, { headers: { "content-type": "application/octet-stream" } })
})
