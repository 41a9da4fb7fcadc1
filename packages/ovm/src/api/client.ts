import { ApiError, connect as connectTo, type ExecPiece, execPieces, sandboxPieces } from "@ovms/client"
import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { ExecEnd, Health, Runtime, RuntimeEvent, SandboxEnd } from "../runtime/interfaces.ts"

/** How long a daemon may take to say that it is well, in ms. */
const HEALTH_MS = 5_000

/**
 * The runtime behind a socket. Every method throws OVM_DAEMON_UNREACHABLE if nobody serves it, else what the daemon
 * answered.
 */
export function connect(socket: string): Runtime {
  const client = connectTo(socket)
  return {
    start: (request, call) => ours(client.start(request, call)),
    stop: (request, call) => ours(client.stop(request, call)),
    snapshot: (request, call) => ours(client.snapshot(request, call)),
    warm: (request, call) => ours(client.warm(request, call)),
    pause: (id, call) => ours(client.pause(id, call)),
    resume: (id, call) => ours(client.resume(id, call)),
    create: (request, call) => ours(client.create(request, call)),
    explain: (request, call) => ours(client.explain(request, call)),
    commit: (id, request, call) => ours(client.commit(id, request, call)),
    addPort: (id, request, call) => ours(client.addPort(id, request, call)),
    removePort: (id, port, call) => ours(client.removePort(id, port, call)),
    rename: (id, request, call) => ours(client.rename(id, request, call)),
    fork: (id, request, call) => ours(client.fork(id, request, call)),
    startAgain: (id, call) => ours(client.startAgain(id, call)),
    restart: (id, options) => ours(client.restart(id, options)),
    status: (id, call) => ours(client.status(id, call)),
    logs: async (id, options) => consoleOf(await ours(client.logs(id, options)), id),
    volumes: (call) => ours(client.volumes(call)),
    createVolume: (request, call) => ours(client.createVolume(request, call)),
    removeVolume: (name, call) => ours(client.removeVolume(name, call)),
    networks: (call) => ours(client.networks(call)),
    createNetwork: (request, call) => ours(client.createNetwork(request, call)),
    removeNetwork: (name, call) => ours(client.removeNetwork(name, call)),
    events: async (options) => eventsOf(await ours(client.events(options))),
    attach: async (id, options) => consoleOf(await ours(client.attach(id, options)), id),
    type: (id, options) => ours(client.type(id, options)),
    exec: (id, request, call) => ours(client.exec(id, request, call)),
    execStream: (id, request, options) => ours(client.execStream(id, request, options)),
    execType: (id, options) => ours(client.execType(id, options)),
    execControl: (id, attachment, request, call) => ours(client.execControl(id, attachment, request, call)),
    ready: (id, options) => ours(client.ready(id, options)),
    readFiles: async (id, options) => filesOf(await ours(client.readFiles(id, options))),
    writeFiles: (id, options) => ours(client.writeFiles(id, options)),
    sandbox: (request, call) => ours(client.sandbox(request, call)),
    sandboxStream: (request, call) => ours(client.sandboxStream(request, call)),
    list: (call) => ours(client.list(call)),
    remove: (id, options) => ours(client.remove(id, options)),
    health: (call) => ours(client.health(call)),
    info: (call) => ours(client.info(call)),
  }
}

/**
 * What a daemon says that serves the socket; undefined if none does. Throws OVM_DAEMON_UNREACHABLE for one that is
 * there and does not answer.
 */
export async function healthOf(socket: string): Promise<Health | undefined> {
  const signal = AbortSignal.timeout(HEALTH_MS)
  try {
    return await connect(socket).health({ signal })
  } catch (cause) {
    if (signal.aborted)
      throw new OvmError(
        "OVM_DAEMON_UNREACHABLE",
        `the daemon on ${socket} did not answer within ${HEALTH_MS / 1000} s`,
        { cause, hint: "end its process; machines outlive it" },
      )
    if (cause instanceof OvmError && cause.code === "OVM_DAEMON_UNREACHABLE") return undefined
    throw cause
  }
}

function ours<T>(answer: Promise<T>): Promise<T> {
  return answer.catch((thrown) => {
    throw thrown instanceof ApiError ? errorOf(thrown) : thrown
  })
}

function errorOf(cause: ApiError): OvmError {
  const { code, message, detail } = cause
  const hint = code === "OVM_DAEMON_UNREACHABLE" ? "ovm daemon" : undefined
  return new OvmError(code, message, { cause: cause.cause, detail, ...(hint && { hint }) })
}

async function* eventsOf(all: AsyncIterable<RuntimeEvent>): AsyncGenerator<RuntimeEvent> {
  try {
    yield* all
  } catch (thrown) {
    throw thrown instanceof ApiError ? errorOf(thrown) : thrown
  }
}

/** What a command writes, of an answer of `execStream`; returns how it has ended. Throws as every method does. */
export function execOutput(bytes: Bytes): AsyncGenerator<ExecPiece, ExecEnd> {
  return piecesOf(execPieces(bytes))
}

/** The same of `sandboxStream`. */
export function sandboxOutput(bytes: Bytes): AsyncGenerator<ExecPiece, SandboxEnd> {
  return piecesOf(sandboxPieces(bytes))
}

async function* piecesOf<End>(pieces: AsyncGenerator<ExecPiece, End>): AsyncGenerator<ExecPiece, End> {
  try {
    return yield* pieces
  } catch (thrown) {
    throw thrown instanceof ApiError ? errorOf(thrown) : thrown
  }
}

async function* filesOf(bytes: Bytes): Bytes {
  try {
    yield* bytes
  } catch (cause) {
    if (!(cause instanceof ApiError)) throw cause
    throw new OvmError("OVM_FILE_UNREADABLE", "what came from the guest broke off before its end", { cause })
  }
}

async function* consoleOf(bytes: Bytes, id: string): Bytes {
  try {
    yield* bytes
  } catch (cause) {
    if (!(cause instanceof ApiError)) throw cause
    throw new OvmError("OVM_DAEMON_UNREACHABLE", "the daemon ended; the machine goes on running", {
      cause,
      hint: `ovm logs --follow ${id}`,
    })
  }
}
