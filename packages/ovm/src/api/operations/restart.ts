import { json } from "../http.ts"
import { operation } from "../operation.ts"
import { count } from "../query.ts"

const MOST_GRACE_MS = 600_000

export const restart = operation(
  "POST",
  "/instances/{instance_id}/restart",
  async ({ runtime, query, path }) => {
    const graceMs = count(query, "grace_ms", MOST_GRACE_MS)
    return json(await runtime.restart(path.instance_id, graceMs === undefined ? {} : { graceMs }))
  },
)
