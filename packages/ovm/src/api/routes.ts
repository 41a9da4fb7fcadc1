import { OvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import type { ApiRequest } from "./exchange.ts"
import parameters from "./generated/parameters.json" with { type: "json" }
import { errorResponse, json, readBody } from "./http.ts"
import { logsResponse } from "./logs.ts"
import { parseSnapshot, parseStart, parseStop, parseWarm } from "./requests.ts"

interface Context {
  readonly runtime: Runtime
  readonly request: ApiRequest
  readonly url: URL
  /** The path's parameter, decoded. */
  readonly id: string
}

type Handler = (context: Context) => Promise<Response>

/** Query parameters of each operation, by its method and path. */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = parameters

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
export async function dispatch(runtime: Runtime, request: ApiRequest): Promise<Response> {
  const url = urlOf(request.target)
  const [, first = "", second, ...rest] = url.pathname.split("/")
  const path = second === undefined ? `/${first}` : ["", first, "*", ...rest].join("/")
  const route = Object.hasOwn(ROUTES, path) ? ROUTES[path] : undefined
  if (!route) throw new OvmError("OVM_ROUTE_UNKNOWN", `there is no path ${url.pathname.slice(0, 200)}`)
  const handler = Object.hasOwn(route, request.method) ? route[request.method] : undefined
  if (!handler) return notAllowed(url.pathname, Object.keys(route), request.method)
  refuseUnknown(url, PARAMETERS[`${request.method} ${path}`] ?? [])
  return handler({ runtime, request, url, id: decode(second ?? "") })
}

/** A target is a path with a query, or a whole URL, whose host says nothing here. */
function urlOf(target: string): URL {
  const path = target.replace(/^https?:\/\/[^/?]*/i, "")
  if (path.startsWith("/")) return new URL(`http://ovm${path}`)
  throw new OvmError("OVM_ROUTE_UNKNOWN", `there is no path ${target.slice(0, 200)}`)
}

/** With what is allowed beside it, as HTTP wants it (OVMS-API-161). */
function notAllowed(path: string, allowed: readonly string[], method: string): Response {
  const list = allowed.join(", ")
  const answer = errorResponse(
    new OvmError("OVM_METHOD_NOT_ALLOWED", `${path} takes ${list}, not ${method.slice(0, 20)}`),
  )
  answer.headers.set("allow", list)
  return answer
}

/** Throws OVM_REQUEST_INVALID naming a parameter that the operation does not have, or that is there twice (OVMS-API-162). */
function refuseUnknown({ searchParams }: URL, known: readonly string[]): void {
  const names = [...searchParams.keys()]
  const unknown = names.find((name) => !known.includes(name))
  if (unknown !== undefined)
    throw new OvmError("OVM_REQUEST_INVALID", `${unknown.slice(0, 100)}: the operation has no such parameter`)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw new OvmError("OVM_REQUEST_INVALID", `${twice}: it is there more than once`)
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
