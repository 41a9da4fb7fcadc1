import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { assertEmpty } from "../requests.ts"

export const pause = operation(
  "POST",
  "/instances/{instance_id}/pause",
  async ({ runtime, request, path }) => {
    assertEmpty(await readRequestBody(request))
    return json(await runtime.pause(path.instance_id))
  },
)
