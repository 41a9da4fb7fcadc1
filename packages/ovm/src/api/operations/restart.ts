import { MOST_GRACE_MS } from "../../runtime/limits.ts"
import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { count } from "../query.ts"
import { assertEmpty } from "../requests.ts"

export const restart = operation(
  "POST",
  "/instances/{instance_id}/restart",
  async ({ runtime, request, query, path }) => {
    assertEmpty(await readRequestBody(request))
    const graceMs = count(query, "grace_ms", MOST_GRACE_MS)
    return json(await runtime.restart(path.instance_id, graceMs === undefined ? {} : { graceMs }))
  },
)
