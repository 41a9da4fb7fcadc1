import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { assertEmpty } from "../requests.ts"

export const resume = operation(
  "POST",
  "/instances/{instance_id}/resume",
  async ({ runtime, request, path }) => {
    assertEmpty(await readRequestBody(request))
    return json(await runtime.resume(path.instance_id))
  },
)
