import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseStartRequest } from "../requests.ts"

export const start = operation("POST", "/start", async ({ runtime, request }) =>
  json(await runtime.start(parseStartRequest(await readRequestBody(request)))),
)
