import { json, readBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseStart } from "../requests.ts"

export const start = operation("POST", "/start", async ({ runtime, request }) =>
  json(await runtime.start(parseStart(await readBody(request)))),
)
