import { ApiError, errorOf } from "./errors.ts"
import { eventsIn } from "./events.ts"
import { type Answer, exchange, type Question } from "./exchange.ts"
import type { Bytes, Call, Runtime } from "./runtime.ts"
import type { InstanceInfo, Network, Volume } from "./wire.ts"

/**
 * The runtime behind a socket, which nobody need serve yet. Every method throws an ApiError: OVM_DAEMON_UNREACHABLE if
 * nobody answers, else what the daemon says; or the reason of the call's signal.
 */
export function connect(socket: string): Runtime {
  const get = <T>(path: string, call?: Call) => ask<T>(socket, { ...call, method: "GET", path })
  const post = <T>(path: string, body: unknown, call?: Call) =>
    ask<T>(socket, {
      ...call,
      method: "POST",
      path,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
  return {
    start: (request, call) => post("/start", request, call),
    stop: (request, call) => post("/stop", request, call),
    snapshot: (request, call) => post("/snapshot", request, call),
    warm: (request, call) => post("/warm", request, call),
    pause: (id, call) => post(`/instances/${encodeURIComponent(id)}/pause`, undefined, call),
    resume: (id, call) => post(`/instances/${encodeURIComponent(id)}/resume`, undefined, call),
    create: (request, call) => post("/instances", request, call),
    explain: (request, call) => post("/explain", request, call),
    commit: (id, request, call) => post(`/instances/${encodeURIComponent(id)}/commit`, request, call),
    rename: async (id, request, call) => {
      const path = `/instances/${encodeURIComponent(id)}/rename`
      await text(socket, { ...call, method: "POST", path, body: JSON.stringify(request) })
    },
    fork: (id, request, call) => post(`/instances/${encodeURIComponent(id)}/fork`, request, call),
    addPort: (id, request, call) => post(`/instances/${encodeURIComponent(id)}/ports`, request, call),
    removePort: (id, { host, address = "127.0.0.1", protocol = "tcp" }, call) => {
      const query = `host=${host}&address=${encodeURIComponent(address)}&protocol=${protocol}`
      const path = `/instances/${encodeURIComponent(id)}/ports?${query}`
      return ask(socket, { ...call, method: "DELETE", path })
    },
    startAgain: (id, call) => post(`/instances/${encodeURIComponent(id)}/start`, undefined, call),
    restart: (id, { graceMs, signal } = {}) => {
      const grace = graceMs === undefined ? "" : `?grace_ms=${graceMs}`
      return post(`/instances/${encodeURIComponent(id)}/restart${grace}`, undefined, signal && { signal })
    },
    status: (id, call) => get(`/status/${encodeURIComponent(id)}`, call),
    logs: async (id, { follow = false, previous = false, tail, since, timestamps, signal } = {}) => {
      const from = since === undefined ? "" : `&since=${encodeURIComponent(since)}`
      const query = `follow=${follow}${previous ? "&previous=true" : ""}${tailOf(tail)}${from}`
      const path = `/logs/${encodeURIComponent(id)}?${query}`
      return await stream(socket, { path, ...(timestamps && { accept: NDJSON }), ...(signal && { signal }) })
    },
    attach: async (id, { attachment, tail, signal }) => {
      const query = `attachment=${encodeURIComponent(attachment)}${tailOf(tail)}`
      const path = `/instances/${encodeURIComponent(id)}/attach?${query}`
      return await stream(socket, { path, ...(signal && { signal }) })
    },
    type: async (id, { attachment, bytes, window, signal }) => {
      const size = window ? `&window=${window.rows}x${window.columns}` : ""
      const path = `/instances/${encodeURIComponent(id)}/input?attachment=${encodeURIComponent(attachment)}${size}`
      await text(socket, { method: "POST", path, bytes, ...(signal && { signal }) })
    },
    exec: (id, request, call) => post(`/instances/${encodeURIComponent(id)}/exec`, request, call),
    execStream: async (id, request, { attachment, signal }) => {
      const path = `/instances/${encodeURIComponent(id)}/exec/stream?attachment=${encodeURIComponent(attachment)}`
      return await stream(socket, {
        method: "POST",
        path,
        body: JSON.stringify(request),
        ...(signal && { signal }),
      })
    },
    execType: async (id, { attachment, bytes, end = false, signal }) => {
      const query = `attachment=${encodeURIComponent(attachment)}&end=${end}`
      const path = `/instances/${encodeURIComponent(id)}/exec/input?${query}`
      await text(socket, { method: "POST", path, bytes, ...(signal && { signal }) })
    },
    execControl: async (id, attachment, request, call) => {
      const path = `/instances/${encodeURIComponent(id)}/exec/control?attachment=${encodeURIComponent(attachment)}`
      await text(socket, { ...call, method: "POST", path, body: JSON.stringify(request) })
    },
    ready: (id, { timeoutMs = 0, signal } = {}) =>
      get(`/instances/${encodeURIComponent(id)}/ready?timeout_ms=${timeoutMs}`, signal && { signal }),
    readFiles: async (id, { path: inside, signal }) => {
      const path = `/instances/${encodeURIComponent(id)}/files?path=${encodeURIComponent(inside)}`
      return await stream(socket, { path, ...(signal && { signal }) })
    },
    writeFiles: async (id, { path: inside, rename = false, content, signal }) => {
      const query = `path=${encodeURIComponent(inside)}&rename=${rename}`
      const path = `/instances/${encodeURIComponent(id)}/files?${query}`
      const { bytes, failure } = watched(content)
      await text(socket, { method: "PUT", path, content: bytes, ...(signal && { signal }) }).catch(
        (thrown) => {
          throw failure() ?? thrown
        },
      )
    },
    sandbox: (request, call) => post("/sandbox", request, call),
    sandboxStream: (request, call) =>
      stream(socket, { ...call, method: "POST", path: "/sandbox/stream", body: JSON.stringify(request) }),
    volumes: async (call) => (await get<{ volumes: Volume[] }>("/volumes", call)).volumes,
    createVolume: (request, call) => post("/volumes", request, call),
    removeVolume: async (name, { signal } = {}) => {
      const path = `/volumes/${encodeURIComponent(name)}`
      await text(socket, { method: "DELETE", path, ...(signal && { signal }) })
    },
    networks: async (call) => (await get<{ networks: Network[] }>("/networks", call)).networks,
    createNetwork: (request, call) => post("/networks", request, call),
    removeNetwork: async (name, { signal } = {}) => {
      const path = `/networks/${encodeURIComponent(name)}`
      await text(socket, { method: "DELETE", path, ...(signal && { signal }) })
    },
    events: async ({ after, follow = false, signal } = {}) => {
      const behind = after === undefined ? "" : `&after=${encodeURIComponent(after)}`
      const question: Question = {
        method: "GET",
        path: `/events?follow=${follow}${behind}`,
        ...(signal && { signal }),
      }
      return eventsIn(bytesOf(socket, question, await send(socket, question)))
    },
    list: async (call) => (await get<{ instances: InstanceInfo[] }>("/instances", call)).instances,
    remove: async (id, { force = false, signal } = {}) => {
      const path = `/instances/${encodeURIComponent(id)}?force=${force}`
      await text(socket, { method: "DELETE", path, ...(signal && { signal }) })
    },
    // By a connection of its own: whoever serves the socket now is asked, not whoever did when a kept connection was
    // made.
    health: (call) => ask(socket, { ...call, method: "GET", path: "/health", anew: true }),
    info: (call) => get("/info", call),
  }
}

const NDJSON = "application/x-ndjson"

const tailOf = (lines: number | undefined) => (lines === undefined ? "" : `&tail=${lines}`)

/** `content`, and what it threw: a connection says only that it broke. */
function watched(content: Bytes): { readonly bytes: Bytes; failure(): unknown } {
  let failure: unknown
  async function* bytes() {
    try {
      yield* content
    } catch (thrown) {
      failure = thrown
      throw thrown
    }
  }
  return { bytes: bytes(), failure: () => failure }
}

async function stream(
  socket: string,
  what: Omit<Question, "method"> & Partial<Pick<Question, "method">>,
): Promise<Bytes> {
  const question: Question = { method: "GET", ...what }
  return bytesOf(socket, question, await send(socket, question))
}

async function ask<T>(socket: string, question: Question): Promise<T> {
  const answer = await text(socket, question)
  try {
    return JSON.parse(answer) as T
  } catch (cause) {
    throw new ApiError("OVM_INTERNAL", `the daemon answered ${question.path} with what is no JSON`, { cause })
  }
}

async function text(socket: string, question: Question): Promise<string> {
  return textOf(socket, question, await send(socket, question))
}

/** An answer below 400. */
async function send(socket: string, question: Question): Promise<Answer> {
  const answer = await exchange(socket, question).catch((cause) => {
    throw trouble(`no daemon answers on ${socket}`, question, cause)
  })
  if (answer.status < 400) return answer
  throw errorOf(answer.status, await textOf(socket, question, answer), question.path)
}

function textOf(socket: string, question: Question, answer: Answer): Promise<string> {
  return answer.text().catch((cause) => {
    throw brokenOff(socket, question, cause)
  })
}

async function* bytesOf(socket: string, question: Question, answer: Answer): Bytes {
  try {
    yield* answer.body()
  } catch (cause) {
    throw brokenOff(socket, question, cause)
  }
}

function brokenOff(socket: string, question: Question, cause: unknown): unknown {
  return trouble(`the daemon on ${socket} ended in the middle of an answer`, question, cause)
}

function trouble(message: string, { signal }: Question, cause: unknown): unknown {
  return signal?.aborted ? signal.reason : new ApiError("OVM_DAEMON_UNREACHABLE", message, { cause })
}
