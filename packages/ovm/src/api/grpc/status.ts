import { Metadata, type StatusObject, status } from "@grpc/grpc-js"

/** gRPC's code for each status of HTTP that spec/errors.json has. */
const CODES: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  405: status.UNIMPLEMENTED,
  409: status.FAILED_PRECONDITION,
  413: status.RESOURCE_EXHAUSTED,
  422: status.FAILED_PRECONDITION,
  429: status.RESOURCE_EXHAUSTED,
  500: status.INTERNAL,
  501: status.UNIMPLEMENTED,
  502: status.UNAVAILABLE,
  503: status.UNAVAILABLE,
  504: status.DEADLINE_EXCEEDED,
  507: status.RESOURCE_EXHAUSTED,
}

interface Entry {
  readonly code: string
  readonly message: string
}

/**
 * What an answer with an error says to a client of gRPC: its first message, and in the trailers `ovm-code`, the code of
 * spec/errors.json, and `ovm-errors-bin`, the JSON of spec/errors.md.
 */
export async function statusOf(answer: Response): Promise<StatusObject> {
  const text = await answer.text()
  const { errors } = JSON.parse(text) as { readonly errors: readonly Entry[] }
  const metadata = new Metadata()
  metadata.set("ovm-code", errors[0]?.code ?? "")
  metadata.set("ovm-errors-bin", Buffer.from(text))
  return { code: CODES[answer.status] ?? status.UNKNOWN, details: errors[0]?.message ?? "", metadata }
}
