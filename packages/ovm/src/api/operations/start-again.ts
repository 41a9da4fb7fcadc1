import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const startAgain = operation("POST", "/instances/{instance_id}/start", async ({ runtime, path }) =>
  json(await runtime.startAgain(path.instance_id)),
)
