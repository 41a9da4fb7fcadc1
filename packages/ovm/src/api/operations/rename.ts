import { readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseRenameRequest } from "../requests.ts"

export const rename = operation(
  "POST",
  "/instances/{instance_id}/rename",
  async ({ runtime, path, request }) => {
    await runtime.rename(path.instance_id, parseRenameRequest(await readRequestBody(request)))
    return new Response(null, { status: 204 })
  },
)
