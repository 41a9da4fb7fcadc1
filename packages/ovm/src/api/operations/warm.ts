import { json, readBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseWarm } from "../requests.ts"

export const warm = operation("POST", "/warm", async ({ runtime, request }) =>
  json(await runtime.warm(parseWarm(await readBody(request)))),
)
