import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const status = operation("GET", "/status/{instance_id}", async ({ runtime, path }) =>
  json(await runtime.status(path.instance_id)),
)
