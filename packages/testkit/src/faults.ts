/** A request on its way through the proxy, and what is at hand to answer it otherwise. */
export interface Passing {
  readonly request: Request
  readonly url: URL
  /** How many requests to this method and path came before. */
  readonly earlier: number
  /** The real answer; with `headers` to a request that has those as well, where an empty one is taken away. */
  forward(headers?: Record<string, string>): Promise<Response>
}

/** Answers in place of the upstream; undefined lets the request through. */
export type Fault = (passing: Passing) => Response | undefined | Promise<Response | undefined>

export interface Seen {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly authorization: string | null
  readonly range: string | null
}

export interface FaultyRegistry extends AsyncDisposable {
  readonly host: string
  /** What came in, in order. */
  readonly seen: readonly Seen[]
  fault: Fault
}

/** A proxy in front of the registry `upstream`, or without one a server that knows only its fault. */
export function startFaults(fault: Fault, upstream?: string): FaultyRegistry {
  const seen: Seen[] = []
  const counts = new Map<string, number>()
  const proxy = { fault }
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const url = new URL(request.url)
      const path = url.pathname + url.search
      const header = (name: string) => request.headers.get(name)
      seen.push({
        method: request.method,
        path,
        authorization: header("authorization"),
        range: header("range"),
      })
      const key = `${request.method} ${url.pathname}`
      const earlier = counts.get(key) ?? 0
      counts.set(key, earlier + 1)
      const forward = (more?: Record<string, string>) => pass(request, path, upstream, more)
      return (await proxy.fault({ request, url, earlier, forward })) ?? forward()
    },
  })
  return {
    host: `127.0.0.1:${server.port}`,
    seen,
    get fault() {
      return proxy.fault
    },
    set fault(next) {
      proxy.fault = next
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  }
}

async function pass(
  request: Request,
  path: string,
  upstream: string | undefined,
  more: Record<string, string> = {},
): Promise<Response> {
  if (upstream === undefined) return new Response("no such thing", { status: 404 })
  const headers = new Headers(request.headers)
  for (const [name, value] of Object.entries(more))
    if (value === "") headers.delete(name)
    else headers.set(name, value)
  const body = request.method === "GET" || request.method === "HEAD" ? undefined : await request.arrayBuffer()
  const answer = await fetch(`http://${upstream}${path}`, {
    method: request.method,
    headers,
    redirect: "manual",
    ...(body && { body }),
  })
  // HEAD has the length of what GET would bring, which only a stream without end lets through.
  if (request.method === "HEAD") return new Response(null, answer)
  return new Response(await answer.arrayBuffer(), answer)
}

/** An error answer in the registry's own shape. */
export function refusal(status: number, code: string, headers: Record<string, string> = {}): Response {
  return Response.json({ errors: [{ code, message: `injected ${code}` }] }, { status, headers })
}

/** The answer with its body changed; `change` may make it shorter, longer or different. */
export async function altered(answer: Response, change: (body: Uint8Array) => Uint8Array): Promise<Response> {
  const headers = new Headers(answer.headers)
  headers.delete("content-length")
  const body = change(new Uint8Array(await answer.arrayBuffer()))
  // Streamed, so that no Content-Length gives the change away.
  return new Response(streamOf(body), { status: answer.status, headers })
}

/** The answer as one byte every `everyMs` milliseconds. */
export async function dripping(answer: Response, everyMs: number): Promise<Response> {
  const body = new Uint8Array(await answer.arrayBuffer())
  let at = 0
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      await Bun.sleep(everyMs)
      if (at < body.byteLength) controller.enqueue(body.subarray(at, ++at))
      else controller.close()
    },
  })
  const headers = new Headers(answer.headers)
  headers.delete("content-length")
  return new Response(stream, { status: answer.status, headers })
}

/** The answer stopping for ever after `bytes` bytes. */
export async function stalled(answer: Response, bytes: number): Promise<Response> {
  const body = new Uint8Array(await answer.arrayBuffer()).subarray(0, bytes)
  const stream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(body),
    pull: () => new Promise<void>(() => {}),
  })
  const headers = new Headers(answer.headers)
  headers.delete("content-length")
  return new Response(stream, { status: answer.status, headers })
}

// Closed a moment later: a stream that is at its end already would be sent with a Content-Length.
function streamOf(body: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => controller.enqueue(body),
    async pull(controller) {
      await Bun.sleep(1)
      controller.close()
    },
  })
}
