import { OvmError } from "../../errors.ts"
import { operation } from "../operation.ts"
import { flag } from "../query.ts"

/** In characters (spec/api/openapi.yaml). */
const MOST_PATH = 4095

/** What is at a path of a guest, as tar. */
export const getFiles = operation(
  "GET",
  "/instances/{instance_id}/files",
  async ({ runtime, streams, request, query, path }) => {
    const wanted = { path: pathOf(query), signal: request.signal }
    const bytes = await streams.stream("executing", () => runtime.readFiles(path.instance_id, wanted))
    return new Response(bytes, { headers: { "content-type": "application/x-tar" } })
  },
)

/** A tar into a guest, for as long as it comes. */
export const putFiles = operation(
  "PUT",
  "/instances/{instance_id}/files",
  async ({ runtime, request, query, path }) => {
    const { signal } = request
    const wanted = { path: pathOf(query), rename: flag(query, "rename"), content: request.body, signal }
    request.goesOn()
    await runtime.writeFiles(path.instance_id, wanted)
    return new Response(null, { status: 204 })
  },
)

function pathOf(query: URLSearchParams): string {
  const path = query.get("path") ?? ""
  if (path.startsWith("/") && !path.includes("\0") && path.length <= MOST_PATH) return path
  throw new OvmError("OVM_REQUEST_INVALID", "path: it has to be that of a guest, and begins with a slash")
}
