import { chmodSync, lstatSync, rmSync } from "node:fs"
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js"
import { OvmError } from "../../errors.ts"
import { CONNECTION_LIMITS } from "../connections.ts"
import type { Served } from "../dispatch.ts"
import { MAX_SANDBOX_BODY } from "../http.ts"
import { isServed } from "../socket.ts"
import { messageOf, messagesOf } from "./answers.ts"
import { answerCall } from "./call.ts"
import { METHODS, type Method, streamsOut } from "./methods.ts"
import { statusOf } from "./status.ts"

export interface GrpcServer {
  /** Ends open calls and takes the socket away. */
  close(): void
}

/** A socket's path has room for so many bytes (unix(7)). */
const LONGEST_PATH = 107

/**
 * Serves the operations of the API to clients of gRPC (spec/api/ovms.proto), on a Unix socket of mode 0600 at `path`,
 * which is absolute. Throws OVM_USAGE where there can be none, OVM_DAEMON_RUNNING where somebody listens there.
 */
export async function serveGrpc(
  served: Served,
  path: string,
  log: (error: OvmError) => void,
): Promise<GrpcServer> {
  await makeRoom(path)
  const server = new Server({
    // The largest body, and what is around it.
    "grpc.max_receive_message_length": MAX_SANDBOX_BODY + (1 << 20),
    "grpc.max_concurrent_streams": CONNECTION_LIMITS.connections,
  })
  server.addService(definition(), implementation(served, log))
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (cause) =>
      cause ? reject(unusable(path, cause.message, cause)) : resolve(),
    )
  })
  chmodSync(path, 0o600)
  return {
    close: () => {
      server.forceShutdown()
      rmSync(path, { force: true })
    },
  }
}

/** A socket that nobody serves is of a daemon that was killed; anything else is somebody's. */
async function makeRoom(path: string): Promise<void> {
  if (Buffer.byteLength(path) > LONGEST_PATH)
    throw unusable(path, `a socket's path has at most ${LONGEST_PATH} bytes`)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket()) throw unusable(path, "there is something else, which is not a socket")
  if (await isServed(path))
    throw new OvmError("OVM_DAEMON_RUNNING", `somebody serves ${path}`, { hint: "give --grpc another path" })
  rmSync(path)
}

function unusable(path: string, why: string, cause?: unknown): OvmError {
  return new OvmError("OVM_USAGE", `--grpc unix:${path}: ${why}`, { cause })
}

function definition(): ServiceDefinition {
  const asIs = (bytes: Buffer) => bytes
  return Object.fromEntries(
    METHODS.map((method) => [
      method.name,
      {
        path: `/ovms.v1.Runtime/${method.name}`,
        requestStream: method.body === "content",
        responseStream: streamsOut(method),
        requestSerialize: asIs,
        requestDeserialize: asIs,
        responseSerialize: asIs,
        responseDeserialize: asIs,
      },
    ]),
  )
}

type Calls = ServerUnaryCall<Buffer, Buffer>
type Streams = ServerWritableStream<Buffer, Buffer>

function implementation(served: Served, log: (error: OvmError) => void): UntypedServiceImplementation {
  const once = (method: Method) => async (call: Calls, done: sendUnaryData<Buffer>) => {
    const answer = await answerCall(served, method, call, log)
    if (answer.ok) done(null, await messageOf(method, answer))
    else done(await statusOf(answer))
  }
  const streaming = (method: Method) => async (call: Streams) => {
    const answer = await answerCall(served, method, call, log)
    if (!answer.ok) return void call.emit("error", await statusOf(answer))
    for await (const message of messagesOf(method, answer)) {
      if (call.cancelled) return
      if (!call.write(message) && !(await drained(call)))
        return void call.emit("error", { code: status.ABORTED, details: "nobody took what was sent" })
    }
    call.end()
  }
  return Object.fromEntries(
    METHODS.map((method) => [method.name, streamsOut(method) ? streaming(method) : once(method)]),
  ) as UntypedServiceImplementation
}

/** Waits until the client has taken what was written; false if it has gone, or takes nothing for long. */
function drained(call: Streams): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, CONNECTION_LIMITS.stalledMs, false)
    const settle = (value: boolean) => () => {
      clearTimeout(timer)
      resolve(value)
    }
    call.once("drain", settle(true))
    call.once("cancelled", settle(false))
  })
}
