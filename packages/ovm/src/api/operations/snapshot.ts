import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseSnapshotRequest } from "../requests.ts"

export const snapshot = operation("POST", "/snapshot", async ({ runtime, request }) =>
  json(await runtime.snapshot(parseSnapshotRequest(await readRequestBody(request)))),
)
