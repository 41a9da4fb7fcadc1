import type { EventEmitter } from "node:events"
import type { ServerReadableStream, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js"
import type { Bytes } from "../../content/interfaces.ts"
import { type OvmError, toOvmError } from "../../errors.ts"
import { dispatch, type Served } from "../dispatch.ts"
import { errorResponse } from "../http.ts"
import { decode } from "./messages.ts"
import { type Method, requestFor } from "./methods.ts"

export type GrpcCall =
  | ServerUnaryCall<Buffer, Buffer>
  | ServerWritableStream<Buffer, Buffer>
  | ServerReadableStream<Buffer, Buffer>

/** Runs the operation of a call; what is thrown is its answer. `log` is told of the daemon's own faults. */
export async function answerCall(
  served: Served,
  method: Method,
  call: GrpcCall,
  log: (error: OvmError) => void,
): Promise<Response> {
  const gone = new AbortController()
  const events: EventEmitter = call
  events.once("cancelled", () => gone.abort())
  if (call.cancelled) gone.abort()
  try {
    const { message, content } = await taken(method, call)
    return await dispatch(served, requestFor(method, message, content, gone.signal))
  } catch (thrown) {
    const error = toOvmError(thrown)
    if (error.httpStatus >= 500) log(error)
    return errorResponse(error)
  }
}

interface Taken {
  readonly message: Record<string, unknown>
  readonly content: Bytes
}

/** Of a call that brings bytes the first message says where they go, and all of them bring some. */
async function taken(method: Method, call: GrpcCall): Promise<Taken> {
  if ("request" in call) return { message: decode(method.input, call.request), content: none() }
  const messages = call[Symbol.asyncIterator]()
  const first = await messages.next()
  const message = first.done ? {} : decode(method.input, first.value)
  return { message, content: contents(method, message, messages) }
}

async function* contents(method: Method, first: Record<string, unknown>, rest: AsyncIterator<Buffer>): Bytes {
  if (first.content instanceof Uint8Array) yield first.content
  for (let next = await rest.next(); !next.done; next = await rest.next()) {
    const { content } = decode(method.input, next.value)
    if (content instanceof Uint8Array) yield content
  }
}

async function* none(): Bytes {}
