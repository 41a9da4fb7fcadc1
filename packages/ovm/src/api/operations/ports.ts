import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { portOf } from "../query.ts"
import { parsePortRequest } from "../requests.ts"

export const addPort = operation(
  "POST",
  "/instances/{instance_id}/ports",
  async ({ runtime, path, request }) =>
    json(await runtime.addPort(path.instance_id, parsePortRequest(await readRequestBody(request)))),
)

export const removePort = operation(
  "DELETE",
  "/instances/{instance_id}/ports",
  async ({ runtime, path, query }) => json(await runtime.removePort(path.instance_id, portOf(query))),
)
