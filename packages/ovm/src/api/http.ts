import { OvmError } from "../errors.ts"
import { entryOf } from "../runtime/instance.ts"
import type { ApiRequest } from "./exchange.ts"

/** The largest request body (spec/limits.md). */
export const MAX_BODY = 64 << 10
/** The same of POST /sandbox, which brings files. */
export const MAX_SANDBOX_BODY = 32 << 20

/** Reads a request's body to its end or to the limit, in bytes. Throws OVM_REQUEST_TOO_LARGE. */
export async function readRequestBody(
  request: Pick<ApiRequest, "body">,
  limit = MAX_BODY,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of request.body) {
    size += chunk.length
    if (size > limit) throw new OvmError("OVM_REQUEST_TOO_LARGE", `the request body is above ${limit} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

export function json(body: unknown, status = 200): Response {
  return Response.json(body, { status })
}

/** The one shape of an error (spec/errors.md). */
export function errorResponse(error: OvmError): Response {
  return json({ errors: [entryOf(error)] }, error.httpStatus)
}
