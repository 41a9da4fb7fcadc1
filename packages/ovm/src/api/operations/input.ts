import { readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { attachmentOf, windowOf } from "../query.ts"

export const input = operation(
  "POST",
  "/instances/{instance_id}/input",
  async ({ runtime, request, query, path }) => {
    const attachment = attachmentOf(query)
    const bytes = await readRequestBody(request)
    const window = windowOf(query)
    await runtime.type(path.instance_id, {
      attachment,
      bytes,
      signal: request.signal,
      ...(window && { window }),
    })
    return new Response(null, { status: 204 })
  },
)
