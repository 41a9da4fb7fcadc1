import { json } from "../http.ts"
import { operation } from "../operation.ts"

export const list = operation("GET", "/instances", async ({ runtime }) =>
  json({ instances: await runtime.list() }),
)
