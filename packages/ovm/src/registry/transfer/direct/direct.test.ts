import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { closeSync, openSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises"
import { createServer, type Server, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createServer as createTlsServer, type TlsOptions } from "node:tls"
import { type Certificates, makeCertificates, opensslMissing } from "@ovms/testkit/certificates.ts"
import { findPeer, startRegistry } from "@ovms/testkit/registry.ts"
import { copyGraph } from "../../../content/copy.ts"
import { hexOf } from "../../../content/digest.ts"
import { openLayout } from "../../../content/layout/store.ts"
import { describeBytes, failure, pushBytes } from "../../../content/store.testing.ts"
import type { ErrorCode } from "../../../errors.ts"
import { HTTP_LIMITS } from "../../http/limits.ts"
import { HttpStore } from "../../http-store.ts"
import { Transport, type TransportOptions } from "../../transport/transport.ts"
import { fetchDirectly } from "./fetch.ts"
import { parseResponseHead } from "./head.ts"

const PIECE = 256 * 1024
const BYTES = randomBytes(4 * PIECE - 100)
const BLOB = describeBytes(BYTES)
const PATIENCE = { attempts: 3, backoffMs: 1, rangeBytes: PIECE }
/** For what fails in the end: all else has as long as by default, on a host that may be busy. */
const IMPATIENCE = { ...PATIENCE, responseMs: 1_000, stallMs: 200, rateMs: 200, slowestDownload: 2_000 }

/** A request for bytes from `start` to `end`, and what has to be said to answer it well. */
interface Asked {
  readonly start: number
  readonly end: number
  /** How many asked for the same before. */
  readonly earlier: number
  readonly text: string
  readonly head: readonly string[]
  readonly body: Buffer
  readonly socket: Socket
}
type Answer = (asked: Asked) => void

const send = ({ socket, head, body }: Asked, lines: readonly string[] = head, bytes: Uint8Array = body) => {
  socket.write(`${lines.join("\r\n")}\r\n\r\n`)
  socket.write(bytes)
}

/** Sends the head and at most `bytes` bytes of the body, and ends the connection. */
const finish = (asked: Asked, lines: readonly string[], bytes = asked.body.length) => {
  send(asked, lines, asked.body.subarray(0, bytes))
  asked.socket.end()
}

/** The second piece broke off after 200,000 bytes, and of these a busy host may have got the first ones alone. */
function expectRest(asked: readonly Asked[]): void {
  const rest = asked.filter(({ start }) => start % PIECE !== 0)
  expect(rest).toHaveLength(1)
  expect(rest[0]?.start).toBeWithin(PIECE + 1, PIECE + 200_001)
}

const opened: Server[] = []
afterEach(() => {
  for (const server of opened.splice(0)) server.close()
})

/** A server that knows BLOB and answers requests for it, or for a range of it, as `answer` says; by TLS if told how. */
async function serve(
  answer: Answer,
  tls?: TlsOptions,
): Promise<{ host: string; asked: Asked[]; connections: () => number }> {
  const asked: Asked[] = []
  let connections = 0
  const served = (socket: Socket) => {
    connections++
    let text = ""
    socket.on("error", () => {})
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1")
      for (let at = text.indexOf("\r\n\r\n"); at >= 0; at = text.indexOf("\r\n\r\n")) {
        const request = text.slice(0, at)
        text = text.slice(at + 4)
        const [, first, last] = /^range: bytes=(\d+)-(\d+)$/im.exec(request) ?? []
        const [start, end] = first === undefined ? [0, BYTES.length] : [Number(first), Number(last) + 1]
        const body = BYTES.subarray(start, end)
        const head =
          first === undefined
            ? ["HTTP/1.1 200 OK", `Content-Length: ${body.length}`]
            : [
                "HTTP/1.1 206 Partial Content",
                `Content-Length: ${body.length}`,
                `Content-Range: bytes ${start}-${end - 1}/${BYTES.length}`,
              ]
        const earlier = asked.filter((other) => first !== undefined && other.start === start).length
        const one = { start, end, earlier, text: request, head, body, socket }
        asked.push(one)
        answer(one)
      }
    })
  }
  const server = tls ? createTlsServer(tls, served) : createServer(served)
  opened.push(server)
  await new Promise<void>((resolve) => server.listen(0, tls ? "0.0.0.0" : "127.0.0.1", resolve))
  const address = server.address()
  const port = typeof address === "object" ? address?.port : 0
  return { host: `127.0.0.1:${port}`, asked, connections: () => connections }
}

/** Pulls BLOB from `host`: everything, or an error with `code` and no blob. */
async function pull(
  host: string,
  code?: ErrorCode,
  signal?: AbortSignal,
  { rangeBytes = PIECE, ...options }: TransportOptions & { rangeBytes?: number } = {},
): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), "ovm-direct-"))
  try {
    await using store = await openLayout(root, { create: true, durable: false })
    const remote = new HttpStore(
      new Transport(host, { ...options, limits: { ...(code ? IMPATIENCE : PATIENCE), rangeBytes } }),
      "direct/image",
    )
    const pulling = copyGraph(remote, BLOB, store, { largeBytes: 1, ...(signal && { signal }) })
    if (code === undefined) {
      await pulling
      expect(BYTES.equals(await readFile(join(root, "blobs/sha256", hexOf(BLOB.digest))))).toBe(true)
      return ""
    }
    const { message } = await failure(pulling, code)
    expect(await readdir(join(root, "blobs/sha256"))).toEqual([])
    return message
  } finally {
    await rm(root, { recursive: true })
  }
}

test("pieces come over few connections, each asked for once", async () => {
  const { host, asked, connections } = await serve((one) => send(one))
  await pull(host)
  expect(asked.map(({ start }) => start).toSorted((a, b) => a - b)).toEqual(
    [0, 1, 2, 3].map((n) => n * PIECE),
  )
  expect(connections()).toBeLessThanOrEqual(3)
})

const without = (head: readonly string[], name: string) => head.filter((line) => !line.startsWith(name))
test.each<[string, Answer]>([
  ["no length", (one) => finish(one, without(one.head, "Content-Length"))],
  ["two lengths", (one) => send(one, [...one.head, `Content-Length: ${one.body.length + 1}`])],
  ["a transfer encoding", (one) => send(one, [...one.head, "Transfer-Encoding: chunked"])],
  ["a content encoding", (one) => send(one, [...one.head, "Content-Encoding: gzip"])],
  [
    "another range",
    (one) => send(one, [...without(one.head, "Content-Range"), "Content-Range: bytes 1-9/10"]),
  ],
  ["no range", (one) => send(one, without(one.head, "Content-Range"))],
  ["a folded header", (one) => send(one, [...one.head, "X-Folded: a", " b"])],
  ["a line that is no header", (one) => send(one, [...one.head, "nonsense"])],
  ["an older protocol", (one) => finish(one, ["HTTP/1.0 206 P", ...one.head.slice(1)])],
  ["a head without end", (one) => void one.socket.end(`HTTP/1.1 206 P\r\nX: ${"y".repeat(70_000)}`)],
  ["no HTTP at all", (one) => void one.socket.end("SSH-2.0-OpenSSH_9.2\r\n\r\n")],
  ["nothing", (one) => void one.socket.end()],
  ["everything", (one) => send(one, ["HTTP/1.1 200 OK", `Content-Length: ${BYTES.length}`], BYTES)],
])("an answer with %s is left to those who can read it", async (_, answer) => {
  const { host, asked } = await serve((one) =>
    one.earlier === 0 && one.start === 0 ? answer(one) : send(one),
  )
  await pull(host)
  expect(asked.length).toBeGreaterThan(4)
})

const isRange = ({ text }: Asked) => /^range:/im.test(text)
const ONE_PIECE = BYTES.length

test("a blob that is one piece is asked for as a whole", async () => {
  const { host, asked } = await serve((one) => send(one))
  await pull(host, undefined, undefined, { rangeBytes: ONE_PIECE })
  expect(asked.map(isRange)).toEqual([false])
})

test.each<[string, ErrorCode | undefined, Answer, number]>([
  [
    "broken off is gone on with",
    undefined,
    (one) => (isRange(one) ? send(one) : finish(one, one.head, 400_000)),
    2,
  ],
  [
    "refused once is asked for again",
    undefined,
    (one) => send(one, isRange(one) ? one.head : ["HTTP/1.1 500 X"]),
    2,
  ],
  [
    "wrong is refused",
    "OVM_DIGEST_MISMATCH",
    (one) => send(one, one.head, Buffer.from(one.body).fill(1, 7, 9)),
    2,
  ],
])("a blob that is one piece and %s", async (_, code, answer, requests) => {
  const { host, asked } = await serve(answer)
  await pull(host, code, undefined, { rangeBytes: ONE_PIECE })
  expect(asked).toHaveLength(requests)
})

test("a flipped byte anywhere is found", async () => {
  for (const at of [0, PIECE, BYTES.length - 1]) {
    const { host, asked } = await serve((one) => {
      const wrong = Buffer.from(one.body)
      if (isRange(one) && at >= one.start && at < one.end)
        wrong[at - one.start] = (wrong[at - one.start] ?? 0) ^ 1
      send(one, one.head, wrong)
    })
    await pull(host)
    // All pieces, and then the whole in one stream.
    expect(asked).toHaveLength(5)
  }
})

test("what follows an answer is not taken for the next one", async () => {
  const { host } = await serve((one) => {
    const forged = Buffer.alloc(one.body.length, "x")
    send(one, one.head, Buffer.concat([one.body, Buffer.from(`${one.head.join("\r\n")}\r\n\r\n`), forged]))
  })
  await pull(host)
})

test.each<[string, ErrorCode, Answer]>([
  ["silence", "OVM_REGISTRY_TIMEOUT", (one) => send(one, one.head, one.body.subarray(0, 1000))],
  ["no answer", "OVM_REGISTRY_TIMEOUT", () => {}],
  [
    "a slow drip",
    "OVM_REGISTRY_TIMEOUT",
    (one) => {
      send(one, one.head, one.body.subarray(0, 1))
      const timer = setInterval(() => one.socket.write("x"), 20)
      one.socket.once("close", () => clearInterval(timer))
    },
  ],
  [
    "a reset in the middle",
    "OVM_REGISTRY_UNREACHABLE",
    (one) => {
      send(one, one.head, one.body.subarray(0, 5))
      setTimeout(() => one.socket.resetAndDestroy(), 10)
    },
  ],
])("%s fails in the end, and says where", async (_, code, answer) => {
  const { host } = await serve(answer)
  expect(await pull(host, code)).toContain(host)
})

test("what broke off is gone on with where it was", async () => {
  const { host, asked } = await serve((one) => {
    if (one.start !== PIECE) return send(one)
    send(one, one.head, one.body.subarray(0, 200_000))
    setTimeout(() => one.socket.resetAndDestroy(), 50)
  })
  await pull(host)
  expectRest(asked)
  expect(asked).toHaveLength(5)
})

test("credentials do not follow a redirect to another server", async () => {
  const storage = await serve((one) => send(one))
  const front = await serve((one) => {
    if (!/^authorization: /im.test(one.text))
      return send(
        one,
        ["HTTP/1.1 401 Unauthorized", "WWW-Authenticate: Basic", "Content-Length: 0"],
        Buffer.of(),
      )
    const Location = `Location: http://${storage.host}/somewhere`
    send(one, ["HTTP/1.1 307 Temporary Redirect", Location, "Content-Length: 0"], Buffer.of())
  })
  const credentials = { get: async () => ({ username: "u", password: "secret" }) }
  const root = await mkdtemp(join(tmpdir(), "ovm-direct-"))
  await using store = await openLayout(root, { create: true, durable: false })
  const remote = new HttpStore(new Transport(front.host, { limits: PATIENCE, credentials }), "direct/image")
  await copyGraph(remote, BLOB, store, { largeBytes: 1 })
  await rm(root, { recursive: true })
  expect(storage.asked.length).toBeGreaterThanOrEqual(4)
  expect(storage.asked.filter(({ text }) => /authorization/i.test(text))).toEqual([])
  expect(front.asked.some(({ text }) => text.includes(Buffer.from("u:secret").toString("base64")))).toBe(true)
})

test("a cancelled pull ends, whatever the server does", async () => {
  const stop = new AbortController()
  const { host } = await serve((one) => {
    send(one, one.head, one.body.subarray(0, 1000))
    stop.abort()
  })
  await pull(host, "OVM_INTERRUPTED", stop.signal)
})

test("so does one that waits for a handshake that never ends", async () => {
  const silent = createServer(() => setTimeout(() => stop.abort(), 20))
  opened.push(silent)
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve))
  const stop = new AbortController()
  const address = silent.address()
  const url = new URL(`https://127.0.0.1:${typeof address === "object" ? address?.port : 0}/`)
  const extent = { start: 0, end: PIECE }
  const limits = { ...HTTP_LIMITS, responseMs: 3_600_000 }
  const question = { url, headers: {}, tls: {}, extent, size: BYTES.length, tag: undefined, limits }
  const file = { fd: -1, path: "/some/blob", wrote: () => {}, hashed: () => {} }
  const moving = fetchDirectly(question, file, { onHead: () => {}, onWritten: () => {} }, stop.signal)
  expect(await moving.catch((thrown: unknown) => thrown)).toBe(stop.signal.reason)
})

test("a file that cannot be written to is named", async () => {
  const { host } = await serve((one) => send(one))
  const fd = openSync("/dev/full", "r+")
  const question = {
    url: new URL(`http://${host}/`),
    headers: { Range: `bytes=0-${PIECE - 1}` },
    extent: { start: 0, end: PIECE },
    size: BYTES.length,
    tag: undefined,
    limits: HTTP_LIMITS,
  }
  const written: unknown[] = []
  const file = {
    fd,
    path: "/some/blob",
    wrote: (extent: unknown) => void written.push(extent),
    hashed: () => {},
  }
  const events = { onHead: () => {}, onWritten: (at: number) => void written.push(at) }
  const moving = fetchDirectly(question, file, events, new AbortController().signal)
  expect((await failure(moving, "OVM_NO_SPACE")).message).toContain("/some/blob")
  expect(written).toEqual([])
  closeSync(fd)
})

test("a head is read strictly", () => {
  const head = parseResponseHead("HTTP/1.1 206 Partial Content\r\nContent-Length:  5 \r\nconnection: Close")
  expect(head?.status).toBe(206)
  expect(head?.headers.get("content-length")).toBe("5")
  expect(head?.keep).toBe(false)
  expect(parseResponseHead("HTTP/1.1 200\r\nA: b")?.keep).toBe(true)
  for (const text of [
    "HTTP/2 200 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 200 OK\r\nA : b",
    "HTTP/1.1 200 OK\r\nA: \u0001",
  ])
    expect(parseResponseHead(text)).toBeUndefined()
})

test("proxies and mirrors are not for connections of one's own", async () => {
  const request = { method: "GET", url: "/v2/a/blobs/b", scope: "", what: "a blob" } as const
  const direct = (host: string, options: TransportOptions = {}) =>
    new Transport(host, options).direct(request)
  const mirrors = [{ transport: new Transport("127.0.0.1:2"), resolve: false }]
  expect(await direct("127.0.0.1:1")).toMatchObject({ url: new URL("http://127.0.0.1:1/v2/a/blobs/b") })
  expect(await direct("127.0.0.1:1", { plainHttp: false })).toMatchObject({ tls: {} })
  expect(await direct("127.0.0.1:1", { proxy: "http://127.0.0.1:3" })).toBeUndefined()
  expect(await direct("127.0.0.1:1", { mirrors })).toBeUndefined()
  expect(await direct("127.0.0.1:1", { direct: false })).toBeUndefined()
  for (const [name, plainHttp] of [
    ["http_proxy", true],
    ["https_proxy", false],
  ] as const) {
    const before = process.env[name]
    process.env[name] = "http://127.0.0.1:3"
    try {
      expect(await direct("registry.invalid", { plainHttp })).toBeUndefined()
      expect(await direct("registry.invalid", { plainHttp: !plainHttp })).toBeDefined()
      expect(await direct("127.0.0.1:1", { plainHttp })).toBeDefined()
    } finally {
      if (before === undefined) delete process.env[name]
      else process.env[name] = before
    }
  }
})

describe.skipIf(Boolean(opensslMissing))("over TLS", () => {
  let made: Certificates
  let server: { cert: string; key: string }
  let ca: readonly string[]
  const credentials = { get: async () => ({ username: "u", password: "secret" }) }
  beforeAll(async () => {
    made = await makeCertificates()
    const [cert, key, authority] = await Promise.all(
      [made.server.cert, made.server.key, made.ca].map((path) => readFile(path, "utf8")),
    )
    server = { cert: cert ?? "", key: key ?? "" }
    ca = [authority ?? ""]
  })
  afterAll(() => made?.[Symbol.asyncDispose]())

  const secure = { plainHttp: false, credentials }
  /** Requests of the threads have no header that only `fetch` sends. */
  const direct = (asked: readonly Asked[]) => asked.filter(({ text }) => !/^connection: /im.test(text))

  test.each([PIECE, ONE_PIECE])("pieces of %d bytes come over few connections", async (rangeBytes) => {
    const { host, asked, connections } = await serve((one) => send(one), server)
    await pull(host, undefined, undefined, { ...secure, tls: { ca }, rangeBytes })
    expect(direct(asked)).toHaveLength(ONE_PIECE / rangeBytes > 1 ? 4 : 1)
    expect(connections()).toBeLessThanOrEqual(3)
  })

  test("nothing is asked of whom nobody here trusts, or whose certificate is for another", async () => {
    const stranger = await serve((one) => send(one), server)
    const message = await pull(stranger.host, "OVM_REGISTRY_UNREACHABLE", undefined, secure)
    expect(message).toContain("by no authority that is trusted here")
    const other = stranger.host.replace("127.0.0.1", "127.0.0.2")
    const named = await pull(other, "OVM_REGISTRY_UNREACHABLE", undefined, { ...secure, tls: { ca } })
    expect(named).toContain("its certificate is for another name")
    expect(stranger.asked).toEqual([])
  })

  test("a server that wants a certificate of ours gets it", async () => {
    const one = await serve((asked) => send(asked), {
      ...server,
      ca: [...ca],
      requestCert: true,
      rejectUnauthorized: true,
    })
    await pull(one.host, undefined, undefined, { ...secure, tls: { ca, ...server } })
    expect(direct(one.asked)).toHaveLength(4)
    await pull(one.host, "OVM_REGISTRY_UNREACHABLE", undefined, { ...secure, tls: { ca } })
    expect(one.asked).toHaveLength(4)
  })

  test("what broke off is gone on with where it was", async () => {
    const { host, asked } = await serve((one) => {
      if (one.start !== PIECE) return send(one)
      send(one, one.head, one.body.subarray(0, 200_000))
      setTimeout(() => one.socket.destroy(), 50)
    }, server)
    await pull(host, undefined, undefined, { ...secure, tls: { ca } })
    expectRest(asked)
  })
})

for (const program of ["docker-registry", "distribution", "ggcr-registry"] as const)
  test.skipIf(!findPeer(program))(`${program} answers plainly, for ranges and the whole`, async () => {
    await using registry = await startRegistry({ program })
    await pushBytes(new HttpStore(new Transport(registry.host), "direct/image"), BYTES)
    for (const rangeBytes of [PIECE, ONE_PIECE]) {
      const transport = new Transport(registry.host, { limits: { ...PATIENCE, rangeBytes } })
      const root = await mkdtemp(join(tmpdir(), "ovm-direct-"))
      await using store = await openLayout(root, { create: true, durable: false })
      await copyGraph(new HttpStore(transport, "direct/image"), BLOB, store, { largeBytes: 1 })
      expect(await store.exists(BLOB)).toBe(true)
      await rm(root, { recursive: true })
      const again = { method: "GET", url: "/v2/", scope: "", what: "it" } as const
      // It would not be if an answer had been unsuitable.
      expect(await transport.direct(again)).toBeDefined()
    }
  })

test.skipIf(!findPeer("distribution"))(
  "zeros come in as holes, and take no room that was set aside",
  async () => {
    await using registry = await startRegistry({ program: "distribution" })
    const bytes = Buffer.alloc(48 << 20)
    randomBytes(1 << 20).copy(bytes, 20 << 20)
    const target = await pushBytes(new HttpStore(new Transport(registry.host), "direct/sparse"), bytes)
    for (const rangeBytes of [8 << 20, 64 << 20]) {
      const transport = new Transport(registry.host, { limits: { ...PATIENCE, rangeBytes } })
      const root = await mkdtemp(join(tmpdir(), "ovm-direct-"))
      await using store = await openLayout(root, { create: true, durable: false })
      await copyGraph(new HttpStore(transport, "direct/sparse"), target, store)
      const found = await stat((await store.path(target)) ?? "")
      expect(found.size).toBe(bytes.length)
      expect(found.blocks * 512).toBeLessThan(3 << 20)
      await rm(root, { recursive: true })
    }
  },
)
