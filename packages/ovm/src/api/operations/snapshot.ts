import { json, readBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseSnapshot } from "../requests.ts"

export const snapshot = operation("POST", "/snapshot", async ({ runtime, request }) =>
  json(await runtime.snapshot(parseSnapshot(await readBody(request)))),
)
