import type { Call } from "../../content/interfaces.ts"
import type { ErrorCode } from "../../errors.ts"
import type { Answer, Body } from "../http/http.ts"

export interface RegistryRequest extends Call {
  readonly method: "GET" | "HEAD" | "POST" | "PATCH" | "PUT" | "DELETE"
  /** A path on the registry, or a whole URL that it gave. */
  readonly url: string | URL
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Body | undefined
  /** What to ask permission for (distribution: auth/scope.md). */
  readonly scope: string
  /** What is asked for, as it is called in messages. */
  readonly what: string
  /** What a 404 means; OVM_REGISTRY_FAILED unless told. */
  readonly absent?: ErrorCode
}

/** Answers a request in one attempt. */
export interface Exchanger {
  readonly host: string
  exchange(request: RegistryRequest): Promise<Answer>
}
