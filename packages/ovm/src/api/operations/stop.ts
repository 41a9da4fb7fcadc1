import { json, readBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseStop } from "../requests.ts"

export const stop = operation("POST", "/stop", async ({ runtime, request }) =>
  json(await runtime.stop(parseStop(await readBody(request)))),
)
