import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const pause = operation("POST", "/instances/{instance_id}/pause", async ({ runtime, path }) =>
  json(await runtime.pause(path.instance_id)),
)
