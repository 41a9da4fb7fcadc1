import type { OvmError } from "../errors.ts"
import { deleteBlob, getBlob } from "./blobs.ts"
import { clientOf } from "./client.ts"
import type { Exchange } from "./exchange.ts"
import type { Content, Writable } from "./interfaces.ts"
import { getCatalog, getReferrers, getTags } from "./lists.ts"
import { deleteManifest, getManifest, receiveManifest } from "./manifests.ts"
import { answerTo, Refusal } from "./refusal.ts"
import { bodyOf } from "./request-body.ts"
import { route, type Target } from "./routes.ts"
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from "./uploads.ts"

export interface Registry {
  readonly content: Content
  /** `content` once more, with the methods that write; absent if clients may only read. */
  readonly writable?: Writable | undefined
  /** The user that a request comes from. Throws a Refusal with 401 unless that is somebody who may. */
  readonly authorize?: ((request: Request) => Promise<string>) | undefined
  /** Told of what went wrong on this host. */
  readonly log: (error: OvmError) => void
}

/** What a request came by. */
export interface ClientConnection extends Pick<Exchange, "near" | "patience"> {
  /** Address of the client. */
  readonly address: string
}

/** The answer to any request (distribution-spec v1.1). Never throws. */
export async function handle(
  registry: Registry,
  request: Request,
  connection: ClientConnection,
): Promise<Response> {
  const body = bodyOf(request)
  let answer: Response
  try {
    const user = await registry.authorize?.(request)
    const { content, writable } = registry
    answer = await dispatch({
      request,
      url: new URL(request.url),
      body: body.content,
      content,
      writable,
      client: clientOf(user, connection.address, connection.near),
      ...connection,
    })
  } catch (thrown) {
    answer = answerTo(thrown, registry.log)
  } finally {
    body.discard()
  }
  answer.headers.set("Docker-Distribution-API-Version", "registry/2.0")
  answer.headers.set("X-Content-Type-Options", "nosniff")
  return answer
}

function dispatch(exchange: Exchange): Promise<Response> {
  const target = route(exchange.url.pathname)
  const handlers = handlersOf(exchange, target)
  const { method } = exchange.request
  const handler = handlers[method as keyof Handlers] ?? (method === "HEAD" ? handlers.GET : undefined)
  if (handler) return handler()
  const allowed = Object.keys(handlers).join(", ")
  throw new Refusal(405, "UNSUPPORTED", `${method} is not one of ${allowed}`, { headers: { Allow: allowed } })
}

type Handlers = Partial<Record<"GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE", () => Promise<Response>>>

function handlersOf(exchange: Exchange, target: Target): Handlers {
  switch (target.kind) {
    case "version":
      return { GET: async () => Response.json({}) }
    case "catalog":
      return { GET: () => getCatalog(exchange) }
    case "tags":
      return { GET: () => getTags(exchange, target.repository) }
    case "referrers":
      return { GET: () => getReferrers(exchange, target.repository, target.id) }
    case "manifest":
      return {
        GET: () => getManifest(exchange, target.repository, target.id),
        PUT: () => receiveManifest(exchange, target.repository, target.id),
        DELETE: () => deleteManifest(exchange, target.repository, target.id),
      }
    case "blob":
      return {
        GET: () => getBlob(exchange, target.repository, target.id),
        DELETE: () => deleteBlob(exchange, target.repository, target.id),
      }
    case "uploads":
      return { POST: () => postUpload(exchange, target.repository) }
    case "upload":
      return {
        GET: () => getUpload(exchange, target.repository, target.id),
        PATCH: () => patchUpload(exchange, target.repository, target.id),
        PUT: () => putUpload(exchange, target.repository, target.id),
        DELETE: () => deleteUpload(exchange, target.repository, target.id),
      }
  }
}
