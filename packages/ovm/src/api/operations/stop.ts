import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseStopRequest } from "../requests.ts"

export const stop = operation("POST", "/stop", async ({ runtime, request }) =>
  json(await runtime.stop(parseStopRequest(await readRequestBody(request)))),
)
