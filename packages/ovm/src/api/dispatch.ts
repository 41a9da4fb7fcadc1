import { OvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import type { ApiRequest } from "./exchange.ts"
import parameters from "./generated/parameters.json" with { type: "json" }
import { errorResponse } from "./http.ts"
import type { LogStreams } from "./log-streams.ts"
import { OPERATIONS } from "./operations.ts"
import { refuseUnknown } from "./query.ts"
import { Router } from "./router.ts"

/** What the operations work on. */
export interface Served {
  readonly runtime: Runtime
  readonly streams: LogStreams
}

const ROUTER = new Router(OPERATIONS)

/** Query parameters of each operation that has some, by its method and path. */
const PARAMETERS: Readonly<Record<string, readonly string[]>> = parameters

/**
 * Parses a request to its operation and runs it. Throws OVM_ROUTE_UNKNOWN, OVM_REQUEST_INVALID and what the runtime
 * throws.
 */
export async function dispatch({ runtime, streams }: Served, request: ApiRequest): Promise<Response> {
  const { pathname, searchParams: query } = urlOf(request.target)
  const found = ROUTER.find(pathname)
  if (!found) throw new OvmError("OVM_ROUTE_UNKNOWN", `there is no path ${pathname.slice(0, 200)}`)
  const operation = found.operations.find(({ method }) => method === request.method)
  if (!operation)
    return notAllowed(
      pathname,
      found.operations.map(({ method }) => method),
      request.method,
    )
  refuseUnknown(query, PARAMETERS[`${operation.method} ${operation.path}`] ?? [])
  return operation.run({ runtime, streams, request, query, path: found.parameters() })
}

/** A target is a path with a query, or a whole URL, whose host says nothing here. */
function urlOf(target: string): URL {
  const path = target.replace(/^https?:\/\/[^/?]*/i, "")
  if (path.startsWith("/")) return new URL(`http://ovm${path}`)
  throw new OvmError("OVM_ROUTE_UNKNOWN", `there is no path ${target.slice(0, 200)}`)
}

/** The answer 405, with the methods that are allowed in its header `Allow`, as RFC 9110 demands (OVMS-API-161). */
function notAllowed(path: string, allowed: readonly string[], method: string): Response {
  const list = allowed.join(", ")
  const answer = errorResponse(
    new OvmError("OVM_METHOD_NOT_ALLOWED", `${path} takes ${list}, not ${method.slice(0, 20)}`),
  )
  answer.headers.set("allow", list)
  return answer
}
