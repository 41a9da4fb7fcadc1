import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const resume = operation("POST", "/instances/{instance_id}/resume", async ({ runtime, path }) =>
  json(await runtime.resume(path.instance_id)),
)
