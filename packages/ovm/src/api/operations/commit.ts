import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseCommitRequest } from "../requests.ts"

export const commit = operation(
  "POST",
  "/instances/{instance_id}/commit",
  async ({ runtime, path, request }) =>
    json(await runtime.commit(path.instance_id, parseCommitRequest(await readRequestBody(request)))),
)
