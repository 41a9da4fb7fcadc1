import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseWarmRequest } from "../requests.ts"

export const warm = operation("POST", "/warm", async ({ runtime, request }) =>
  json(await runtime.warm(parseWarmRequest(await readRequestBody(request)))),
)
