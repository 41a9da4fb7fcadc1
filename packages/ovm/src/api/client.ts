import type { Bytes, Call } from "../content/interfaces.ts"
import { isErrorCode, OvmError } from "../errors.ts"
import type {
  Health,
  InstanceInfo,
  PauseAnswer,
  Runtime,
  RuntimeInfo,
  SnapshotAnswer,
  StartAnswer,
  StopAnswer,
  WarmAnswer,
} from "../runtime/interfaces.ts"
import { shortPath } from "./socket.ts"

/** How long a daemon may take to say that it is well, in ms. */
const HEALTH_MS = 5_000

/** The runtime behind a socket. Every method throws OVM_DAEMON_UNREACHABLE if nobody serves it, else what the daemon answered. */
export function connect(socket: string): Runtime {
  const get = <T>(path: string, call?: Call) => ask<T>(socket, "GET", path, undefined, call)
  const post = <T>(path: string, body: unknown, call?: Call) => ask<T>(socket, "POST", path, body, call)
  return {
    start: (request, call) => post<StartAnswer>("/start", request, call),
    stop: (request, call) => post<StopAnswer>("/stop", request, call),
    snapshot: (request, call) => post<SnapshotAnswer>("/snapshot", request, call),
    warm: (request, call) => post<WarmAnswer>("/warm", request, call),
    pause: (id, call) => post<PauseAnswer>(`/instances/${encodeURIComponent(id)}/pause`, undefined, call),
    resume: (id, call) => post<PauseAnswer>(`/instances/${encodeURIComponent(id)}/resume`, undefined, call),
    status: (id, call) => get<InstanceInfo>(`/status/${encodeURIComponent(id)}`, call),
    logs: async (id, options = {}) => {
      const response = await send(
        socket,
        "GET",
        `/logs/${encodeURIComponent(id)}?follow=${options.follow ?? false}`,
        undefined,
        options,
      )
      return streamOf(response, id, options)
    },
    list: async (call) => (await get<{ instances: InstanceInfo[] }>("/instances", call)).instances,
    remove: async (id, options = {}) => {
      await send(
        socket,
        "DELETE",
        `/instances/${encodeURIComponent(id)}?force=${options.force ?? false}`,
        undefined,
        options,
      )
    },
    health: (call) => get<Health>("/health", call),
    info: (call) => get<RuntimeInfo>("/info", call),
  }
}

/** What a daemon says that serves the socket; undefined if none does. Throws OVM_DAEMON_UNREACHABLE for one that is there and does not answer. */
export async function healthOf(socket: string): Promise<Health | undefined> {
  const signal = AbortSignal.timeout(HEALTH_MS)
  try {
    return await ask<Health>(socket, "GET", "/health", undefined, { signal, anew: true })
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

interface Asking extends Call {
  /** By a connection of its own: one that is kept from before leads to whoever served the socket then. */
  readonly anew?: boolean
}

async function ask<T>(
  socket: string,
  method: string,
  path: string,
  body: unknown,
  call: Asking = {},
): Promise<T> {
  return (await (await send(socket, method, path, body, call)).json()) as T
}

async function send(
  socket: string,
  method: string,
  path: string,
  body: unknown,
  call: Asking,
): Promise<Response> {
  const response = await exchange(socket, method, path, body, call)
  if (!response.ok) throw await errorOf(response, path)
  return response
}

async function exchange(
  socket: string,
  method: string,
  path: string,
  body: unknown,
  call: Asking,
): Promise<Response> {
  try {
    using short = shortPath(socket)
    return await fetch(`http://ovm${path}`, {
      unix: short.text,
      timeout: false, // a console may be silent for hours
      keepalive: call.anew !== true,
      method,
      ...(body !== undefined && {
        body: JSON.stringify(body),
        headers: { "content-type": "application/json" },
      }),
      ...(call.signal && { signal: call.signal }),
    })
  } catch (cause) {
    if (call.signal?.aborted) throw cause
    throw new OvmError("OVM_DAEMON_UNREACHABLE", `no daemon answers on ${socket}`, {
      cause,
      hint: "ovm daemon",
    })
  }
}

async function errorOf(response: Response, path: string): Promise<OvmError> {
  const body = (await response.json().catch(() => undefined)) as
    | { errors?: { code?: unknown; message?: unknown; detail?: unknown }[] }
    | undefined
  const first = body?.errors?.[0]
  if (!first || !isErrorCode(first.code))
    return new OvmError(
      "OVM_INTERNAL",
      `the daemon answered ${path} with status ${response.status} and no known error`,
    )
  return new OvmError(first.code, String(first.message), { detail: first.detail })
}

async function* streamOf(response: Response, id: string, call: Call): Bytes {
  try {
    yield* response.body ?? []
  } catch (cause) {
    if (call.signal?.aborted) throw cause
    throw new OvmError("OVM_DAEMON_UNREACHABLE", "the daemon ended; the machine goes on running", {
      cause,
      hint: `ovm logs --follow ${id}`,
    })
  }
}
