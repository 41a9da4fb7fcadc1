import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { assertEmpty } from "../requests.ts"

export const startAgain = operation(
  "POST",
  "/instances/{instance_id}/start",
  async ({ runtime, request, path }) => {
    assertEmpty(await readRequestBody(request))
    return json(await runtime.startAgain(path.instance_id))
  },
)
