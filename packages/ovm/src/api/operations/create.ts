import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseStartRequest } from "../requests.ts"

export const create = operation("POST", "/instances", async ({ runtime, request }) =>
  json(await runtime.create(parseStartRequest(await readRequestBody(request)))),
)
