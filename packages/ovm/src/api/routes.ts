import { OvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { json, readBody } from "./http.ts"
import { logsResponse } from "./logs.ts"
import { parseSnapshot, parseStart, parseStop, parseWarm } from "./requests.ts"

interface Context {
  readonly runtime: Runtime
  readonly request: Request
  readonly url: URL
  /** The path's parameter, decoded. */
  readonly id: string
}

type Handler = (context: Context) => Promise<Response>

/** Method and path of every operation (spec/api/openapi.yaml); `*` stands for one segment. */
const ROUTES: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  "/start": {
    POST: async ({ runtime, request }) => json(await runtime.start(parseStart(await readBody(request)))),
  },
  "/stop": {
    POST: async ({ runtime, request }) => json(await runtime.stop(parseStop(await readBody(request)))),
  },
  "/snapshot": {
    POST: async ({ runtime, request }) =>
      json(await runtime.snapshot(parseSnapshot(await readBody(request)))),
  },
  "/warm": {
    POST: async ({ runtime, request }) => json(await runtime.warm(parseWarm(await readBody(request)))),
  },
  "/status/*": { GET: async ({ runtime, id }) => json(await runtime.status(id)) },
  "/logs/*": { GET: logsResponse },
  "/instances": { GET: async ({ runtime }) => json({ instances: await runtime.list() }) },
  "/instances/*": {
    DELETE: async ({ runtime, id, url }) => {
      await runtime.remove(id, { force: flag(url, "force") })
      return new Response(null, { status: 204 })
    },
  },
  "/instances/*/pause": { POST: async ({ runtime, id }) => json(await runtime.pause(id)) },
  "/instances/*/resume": { POST: async ({ runtime, id }) => json(await runtime.resume(id)) },
  "/health": { GET: async ({ runtime }) => json(await runtime.health()) },
  "/info": { GET: async ({ runtime }) => json(await runtime.info()) },
}

/** Parses a request to its operation and runs it. Throws OVM_ROUTE_UNKNOWN, OVM_METHOD_NOT_ALLOWED and what the runtime throws. */
export async function dispatch(runtime: Runtime, request: Request): Promise<Response> {
  // HTTP/1.0 knows no Host, and then this is a path alone.
  const url = new URL(request.url, "http://ovm")
  const [, first = "", second, ...rest] = url.pathname.split("/")
  const route = ROUTES[second === undefined ? `/${first}` : ["", first, "*", ...rest].join("/")]
  if (!route) throw new OvmError("OVM_ROUTE_UNKNOWN", `there is no path ${url.pathname.slice(0, 200)}`)
  const handler = route[request.method]
  if (!handler)
    throw new OvmError(
      "OVM_METHOD_NOT_ALLOWED",
      `${url.pathname} takes ${Object.keys(route).join(", ")}, not ${request.method}`,
    )
  return handler({ runtime, request, url, id: decode(second ?? "") })
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw new OvmError("OVM_REQUEST_INVALID", `the path has a malformed escape: ${segment.slice(0, 100)}`, {
      cause,
    })
  }
}

/** A boolean query parameter; absent is false. Throws OVM_REQUEST_INVALID naming it. */
export function flag(url: URL, name: string): boolean {
  const value = url.searchParams.get(name) ?? "false"
  if (value === "true") return true
  if (value === "false") return false
  throw new OvmError(
    "OVM_REQUEST_INVALID",
    `${name}: ${JSON.stringify(value.slice(0, 20))} is neither true nor false`,
  )
}
