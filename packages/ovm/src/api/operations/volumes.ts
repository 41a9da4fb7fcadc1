import { json, readRequestBody } from "../http.ts"
import { operation } from "../operation.ts"
import { parseVolumeRequest } from "../requests.ts"

// Volumes (spec/volumes.md).

export const volumes = operation("GET", "/volumes", async ({ runtime }) =>
  json({ volumes: await runtime.volumes() }),
)

export const createVolume = operation("POST", "/volumes", async ({ runtime, request }) =>
  json(await runtime.createVolume(parseVolumeRequest(await readRequestBody(request)))),
)

export const removeVolume = operation("DELETE", "/volumes/{name}", async ({ runtime, path }) => {
  await runtime.removeVolume(path.name)
  return new Response(null, { status: 204 })
})
