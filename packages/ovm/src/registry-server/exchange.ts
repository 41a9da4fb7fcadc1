import type { Bytes } from "../content/interfaces.ts"
import type { Client, Content, Writable } from "./interfaces.ts"
import { Refusal } from "./refusal.ts"

/** One request on its way through the handlers. */
export interface Exchange {
  readonly request: Request
  readonly url: URL
  readonly body: Bytes
  readonly content: Content
  /** `content` once more, with the methods that write; undefined if clients may only read. */
  readonly writable: Writable | undefined
  /** Who asks. */
  readonly client: Client
  /** The client is on this host. */
  readonly near: boolean
  /** To be called before work during which nothing is said or heard for long: the connection is then kept. */
  readonly patience: () => void
}

/** Throws 405 UNSUPPORTED where nobody may write. */
export function writableOf(exchange: Exchange): Writable {
  if (exchange.writable) return exchange.writable
  throw new Refusal(405, "UNSUPPORTED", "this registry is read-only", { headers: { Allow: "GET, HEAD" } })
}

/** Bytes of the request's body as it says itself; undefined if it is sent in pieces without a length. */
export function contentLength({ request }: Exchange): number | undefined {
  const value = request.headers.get("content-length")
  return value !== null && /^\d{1,15}$/.test(value) ? Number(value) : undefined
}
