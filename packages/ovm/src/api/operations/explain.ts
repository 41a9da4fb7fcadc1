import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseStartRequest } from "../requests.ts"

export const explain = operation("POST", "/explain", async ({ runtime, request }) =>
  json(await runtime.explain(parseStartRequest(await readRequestBody(request)))),
)
