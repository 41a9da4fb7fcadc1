import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseForkRequest } from "../requests.ts"

export const fork = operation("POST", "/instances/{instance_id}/fork", async ({ runtime, path, request }) =>
  json(await runtime.fork(path.instance_id, parseForkRequest(await readRequestBody(request)))),
)
