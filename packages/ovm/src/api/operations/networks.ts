import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseNetworkRequest } from "../requests.ts"

// Networks that machines share (spec/networks.md).

export const networks = operation("GET", "/networks", async ({ runtime }) =>
  json({ networks: await runtime.networks() }),
)

export const createNetwork = operation("POST", "/networks", async ({ runtime, request }) =>
  json(await runtime.createNetwork(parseNetworkRequest(await readRequestBody(request)))),
)

export const removeNetwork = operation("DELETE", "/networks/{name}", async ({ runtime, path }) => {
  await runtime.removeNetwork(path.name)
  return new Response(null, { status: 204 })
})
