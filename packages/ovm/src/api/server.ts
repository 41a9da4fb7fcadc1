import { chmodSync, lstatSync, renameSync, rmSync } from "node:fs"
import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from "node:http"
import type { Socket } from "node:net"
import { dirname, join } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import { entryOf } from "../runtime/instance.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import { CONNECTION_LIMITS, type ConnectionLimits, Connections } from "./connections.ts"
import { dispatch } from "./dispatch.ts"
import { type ApiRequest, isComing, requestOf, send } from "./exchange.ts"
import { errorResponse } from "./http.ts"
import { LogStreams } from "./log-streams.ts"
import { privateFolder } from "./private-folder.ts"
import { isServed, shortPath } from "./socket.ts"

export interface Server {
  readonly socket: string
  /** Whether what is at its path is still its socket. */
  isThere(): boolean
  /** Takes no more connections; those that there are go on to their end. */
  retire(): void
  /** Ends open streams and takes the socket away. */
  close(): Promise<void>
}

export interface ServeOptions {
  /** Told of what is the daemon's own fault. */
  readonly log?: (error: OvmError) => void
  readonly limits?: ConnectionLimits
  /** Those of the daemon, which may serve on one socket after another. */
  readonly streams?: LogStreams
}

/**
 * Serves `runtime` on a Unix socket of mode 0600 in a directory of mode 0700 (spec/runtime-api.md, "Socket").
 * Throws OVM_DAEMON_RUNNING if something listens there already, and OVM_PERMISSION_DENIED or OVM_FILE_UNREADABLE if no
 * such folder can be had; a socket that nobody serves, or another file in its place, is replaced in one step.
 */
export async function serve(
  runtime: Runtime,
  socket: string,
  { log = () => {}, limits = CONNECTION_LIMITS, streams = new LogStreams() }: ServeOptions = {},
): Promise<Server> {
  privateFolder(dirname(socket))
  if (await isServed(socket))
    throw new OvmError("OVM_DAEMON_RUNNING", `another daemon serves ${socket}`, { hint: "ovm info" })
  // Made under another name, so that nobody sees it before it has its mode, and its end removes nothing of others.
  const own = join(dirname(socket), `.ovm.sock.${process.pid}`)
  rmSync(own, { force: true })
  using path = shortPath(own)
  const connections = new Connections(limits)
  const server = createServer({ requireHostHeader: false, maxHeaderSize: 16 << 10 })
  const answer = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const client = incoming.socket
    if (!connections.asks(client)) return
    outgoing.once("close", () => connections.answered(client))
    void serveOne({ runtime, streams, connections, limits, log }, incoming, outgoing)
  }
  server.on("connection", (client: Socket) => connections.admit(client))
  server.on("request", answer)
  // Whatever a client expects, it gets an answer.
  server.on("checkExpectation", answer)
  server.on("clientError", refuseMalformed)
  // A console may be silent for hours: `connections` says when a connection has lasted for too long.
  server.timeout = server.requestTimeout = server.headersTimeout = server.keepAliveTimeout = 0
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(path.text, resolve)
  })
  try {
    chmodSync(own, 0o600)
    renameSync(own, socket)
  } catch (thrown) {
    connections.close()
    server.close()
    throw toOvmError(thrown)
  }
  const mine = identity(socket)
  const isThere = () => identity(socket) === mine
  return {
    socket,
    isThere,
    retire: () => void server.close(),
    close: async () => {
      if (isThere()) rmSync(socket, { force: true })
      server.close()
      connections.close()
    },
  }
}

interface Serving extends Required<ServeOptions> {
  readonly runtime: Runtime
  readonly connections: Connections
}

/** Answers one request. Never throws: what is thrown is the answer. */
async function serveOne(
  serving: Serving,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<void> {
  const { connections, limits, log } = serving
  const client = incoming.socket
  const whole = () => connections.serve(client)
  if (isComing(incoming)) incoming.once("end", whole)
  else whole()
  const request = requestOf(incoming, outgoing, whole)
  const answer = await answerTo(serving, request).catch((thrown) => {
    const error = toOvmError(thrown)
    if (error.httpStatus >= 500) log(error)
    return errorResponse(error)
  })
  incoming.off("end", whole)
  const sent = await send(answer, incoming, outgoing, limits.stalledMs).catch(() => false)
  if (!sent) connections.drop(client)
  else if (!isComing(incoming)) connections.expect(client)
  else {
    // For a moment what still comes is let past, so that the client gets to read its answer.
    incoming.resume()
    connections.expect(client, LINGER_MS)
  }
}

const LINGER_MS = 2000

async function answerTo(serving: Serving, request: ApiRequest): Promise<Response> {
  const { connections, limits } = serving
  if (connections.full)
    throw new OvmError(
      "OVM_TOO_MANY",
      `more than ${limits.connections} connections are open, which is the limit`,
    )
  return await dispatch(serving, request)
}

/** What is no HTTP has no operation, and yet an answer in the words of this API (spec/errors.md). */
function refuseMalformed(thrown: Error & { code?: string }, client: Socket): void {
  const code = thrown.code === "HPE_INVALID_METHOD" ? "OVM_METHOD_NOT_ALLOWED" : "OVM_REQUEST_INVALID"
  const error = new OvmError(code, `this is no HTTP request of this API: ${thrown.message}`)
  const body = JSON.stringify({ errors: [entryOf(error)] })
  if (!client.writable) return
  client.end(
    `HTTP/1.1 ${error.httpStatus} ${STATUS_CODES[error.httpStatus]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}

/** Undefined for what is not there, or cannot be looked at. */
function identity(path: string): string | undefined {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true })
    return `${dev} ${ino}`
  } catch {
    return undefined
  }
}
