import type { Runtime } from "../runtime/interfaces.ts"
import type { ApiRequest } from "./exchange.ts"
import type { LogStreams } from "./log-streams.ts"

/** What an operation is given of a request. */
export interface OperationCall<Name extends string = string> {
  readonly runtime: Runtime
  readonly streams: LogStreams
  readonly request: ApiRequest
  /** The query holds what the operation has, each once (OVMS-API-162). */
  readonly query: URLSearchParams
  /** What stands for each `{name}` of the path, decoded. */
  readonly path: Readonly<Record<Name, string>>
}

/** One operation of the API (spec/api/openapi.yaml), as that writes its method and path. */
export interface Operation {
  readonly method: string
  readonly path: string
  run(call: OperationCall): Promise<Response>
}

type NamesIn<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | NamesIn<Rest>
  : never

/** An operation whose `run` knows the names in its path. */
export function operation<Path extends string>(
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: Path,
  run: (call: OperationCall<NamesIn<Path>>) => Promise<Response>,
): Operation {
  return { method, path, run }
}
