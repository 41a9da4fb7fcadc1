import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import errors from "@ovms/spec/errors.json" with { type: "json" }
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { until } from "@ovms/testkit/until.ts"
import type { LocalRuntime } from "../runtime/local.ts"
import { connect } from "./client.ts"
import * as validators from "./generated/validators.js"
import { type Server, serve } from "./server.ts"
import { shortPath } from "./socket.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// Every answer, errors included, is held against spec/api/openapi.yaml (OVMS-API-010, OVMS-ERR-001, OVMS-ERR-002,
// OVMS-ERR-003).

let root: string
let socket: string
let runtime: LocalRuntime
let server: Server

interface Answer {
  readonly status: number
  /** What the path takes instead. */
  readonly allow: string | null
  readonly body: Record<string, unknown> & { errors?: { code: keyof typeof errors.codes; message: string }[] }
}

async function call(
  method: string,
  path: string,
  body?: string | object,
  validate: typeof validators.Health | undefined = undefined,
): Promise<Answer> {
  using short = shortPath(socket)
  const response = await fetch(`http://ovm${path}`, {
    unix: short.text,
    method,
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  })
  const value: Answer["body"] = response.status === 204 ? {} : JSON.parse(await response.text())
  const judge = response.ok ? validate : validators.Errors
  if (judge && !judge(value)) throw new Error(`${method} ${path}: ${JSON.stringify(judge.errors)}`)
  if (!response.ok) expect(errors.codes[value.errors?.[0]?.code ?? "OVM_INTERNAL"].http).toBe(response.status)
  return { status: response.status, allow: response.headers.get("allow"), body: value }
}

async function refused(method: string, path: string, body?: string | object): Promise<string> {
  const { body: answer } = await call(method, path, body)
  const [error] = answer.errors ?? []
  return `${error?.code} ${error?.message}`
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "ovm-api-"))
  // Deeper than the 108 bytes that unix(7) allows, and with a comma.
  socket = join(root, "a,b".repeat(40), "ovm.sock")
  runtime = await openRuntime(root)
  server = await serve(runtime, socket)
})

afterAll(async () => {
  for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  await server.close()
  await runtime.close()
  await rm(root, { recursive: true })
})

// OVMS-API-017
test("where the path says all, a body says nothing more", async () => {
  const nobody = "/instances/00000000-0000-4000-8000-000000000000"
  for (const what of ["start", "restart", "pause", "resume"]) {
    const refusals = [{ memory: 1 }, '{"overrides":{}}', "[]", "{", "null"].map(
      async (body) => (await refused("POST", `${nobody}/${what}`, body)).split(" ")[0],
    )
    expect(new Set(await Promise.all(refusals))).toEqual(new Set(["OVM_REQUEST_INVALID"]))
    expect(await refused("POST", `${nobody}/${what}`, { memory: 1 })).toContain("/memory")
    for (const body of [undefined, "", {}])
      expect(await refused("POST", `${nobody}/${what}`, body)).toStartWith("OVM_INSTANCE_UNKNOWN")
  }
})

test("what is no name is told what one is", async () => {
  const overrides = { name: "-x", config: { hostname: "foo_bar" } }
  const words = await refused("POST", "/start", { manifest: "a", overrides })
  expect(words).toContain(`/overrides/name: "-x" is not allowed here. `)
  expect(words).toContain("A letter or digit, then up to 62 letters, digits, _, . or -")
  expect(words).toContain(`/overrides/config/hostname: "foo_bar" is not allowed here. `)
  expect(words).toContain("Letters, digits and hyphens")
})

// OVMS-API-001
test("the socket is for its user alone", async () => {
  expect((await stat(socket)).mode & 0o777).toBe(0o600)
  expect((await stat(join(socket, ".."))).mode & 0o777).toBe(0o700)
})

test("health and info", async () => {
  expect((await call("GET", "/health", undefined, validators.Health)).body).toEqual({ status: "ok", root })
  const { body } = await call("GET", "/info", undefined, validators.RuntimeInfo)
  expect(body).toMatchObject({ version: "test", pid: process.pid, root, instances: { total: 0 } })
})

// OVMS-API-090
test("info lists a VMM that cannot be used with the error in place of a version", async () => {
  const before = process.env.OVM_QEMU
  process.env.OVM_QEMU = join(root, "nothing")
  try {
    const { body } = await call("GET", "/info", undefined, validators.RuntimeInfo)
    const error = { code: "OVM_VMM_MISSING", message: expect.stringContaining("nothing") }
    expect(body.vmms).toEqual([{ name: "qemu", error }])
  } finally {
    if (before === undefined) delete process.env.OVM_QEMU
    else process.env.OVM_QEMU = before
  }
})

// OVMS-API-092
test("info says where the policy would be, whether there is one, and why it is none", async () => {
  const file = join(root, "policy.json")
  const policy = async () => (await call("GET", "/info", undefined, validators.RuntimeInfo)).body.policy
  expect(await policy()).toEqual({ file, active: false })
  await writeFile(file, '{"schemaVersion":1,"default":{"requirements":[{"type":"digestOnly"}]}}')
  expect(await policy()).toEqual({ file, active: true })
  await writeFile(file, "{")
  const error = { code: "OVM_POLICY_INVALID", message: expect.stringContaining(file) }
  expect(await policy()).toMatchObject({ file, active: true, error })
  await rm(file)
})

// OVMS-API-016
test("a client makes nothing of members that it does not know", async () => {
  const newer = join(root, "newer.sock")
  const more = { later: { and: ["more"] } }
  const server = Bun.serve({
    unix: newer,
    fetch: async (request) => {
      using short = shortPath(socket)
      const answer = await fetch(`http://ovm${new URL(request.url).pathname}`, { unix: short.text })
      const { errors, ...rest } = (await answer.json()) as Answer["body"]
      const told = errors ? { errors: errors.map((error) => ({ ...error, ...more })) } : rest
      return Response.json({ ...told, ...more }, { status: answer.status })
    },
  })
  try {
    const client = connect(newer)
    expect(await client.info()).toMatchObject({ version: "test", pid: process.pid })
    expect(await client.list()).toEqual([])
    expect((await refusal(client.status("nobody"))).code).toBe("OVM_INSTANCE_UNKNOWN")
  } finally {
    await server.stop(true)
  }
})

// OVMS-API-013, OVMS-API-015, OVMS-API-161
test("an unknown path, a wrong method and a broken escape have their codes", async () => {
  expect(await refused("GET", "/")).toStartWith("OVM_ROUTE_UNKNOWN")
  expect(await refused("GET", "/status")).toStartWith("OVM_ROUTE_UNKNOWN")
  expect(await refused("GET", "/status/a/b")).toStartWith("OVM_ROUTE_UNKNOWN")
  expect(await refused("GET", "/toString/x")).toStartWith("OVM_ROUTE_UNKNOWN")
  expect(await refused("GET", "/start")).toStartWith("OVM_METHOD_NOT_ALLOWED")
  expect((await call("GET", "/start")).allow).toBe("POST")
  expect(await refused("POST", "/health")).toStartWith("OVM_METHOD_NOT_ALLOWED")
  expect(await refused("GET", "/status/%zz")).toStartWith("OVM_REQUEST_INVALID")
  expect(await refused("GET", "/status/nobody")).toStartWith("OVM_INSTANCE_UNKNOWN")
  expect(await refused("GET", "/logs/nobody?follow=perhaps")).toMatch(/^OVM_REQUEST_INVALID follow/)
  expect(await refused("DELETE", "/instances/nobody")).toStartWith("OVM_INSTANCE_UNKNOWN")
})

// OVMS-LIM-010, OVMS-LIM-013
test("a body that is not what the operation takes is refused, naming every culprit", async () => {
  const bad: [string | object, string][] = [
    ["", "not"],
    ["{", "end of the document"],
    ["[]", "object"],
    [{}, "manifest is missing"],
    [{ manifest: "" }, "manifest"],
    [{ manifest: 1 }, "manifest"],
    [{ manifest: "x", extra: 1 }, "extra"],
    ['{"manifest":"x","__proto__":{}}', "__proto__"],
    ['{"manifest":"x","manifest":"y"}', "manifest"],
    [{ manifest: "./here" }, "absolute"],
    [{ manifest: "a\nb" }, "manifest"],
    [{ manifest: "x", overrides: { cpus: 1 } }, "cpus"],
    [{ manifest: "x", overrides: { memory: "1GiB" } }, "memory"],
    [{ manifest: "x", overrides: { memory: 1 } }, "memory"],
    [{ manifest: "x", overrides: { vcpus: 0.5, name: "a,mem-path=/etc/passwd" } }, "vcpus"],
    [{ manifest: "x", overrides: { vcpus: 0.5, name: "a,mem-path=/etc/passwd" } }, "name"],
    [{ manifest: "x", overrides: { args: "a\u0000b" } }, "args"],
    ["[".repeat(10_000), "level"],
  ]
  for (const [body, culprit] of bad) {
    const answer = await refused("POST", "/start", body)
    expect(answer).toStartWith("OVM_REQUEST_INVALID")
    expect(answer).toContain(culprit)
  }
  expect(await refused("POST", "/stop", {})).toMatch(/^OVM_REQUEST_INVALID.*instance_id/)
  expect(await refused("POST", "/snapshot", { instance_id: "x", tag: "a b" })).toMatch(
    /^OVM_REQUEST_INVALID.*tag/,
  )
  expect(await refused("POST", "/start", `"${"x".repeat(70_000)}"`)).toStartWith("OVM_REQUEST_TOO_LARGE")
  // 64 KiB are no fault, whatever is in them.
  expect(await refused("POST", "/start", '{"manifest":"nobody"}'.padEnd(65_536))).toStartWith(
    "OVM_NAME_UNKNOWN",
  )
  expect((await call("GET", "/instances", undefined, validators.InstanceList)).body).toEqual({
    instances: [],
  })
})

// OVMS-API-003
test("a second server on the same socket is told so, and the first goes on", async () => {
  expect((await refusal(serve(runtime, socket))).code).toBe("OVM_DAEMON_RUNNING")
  expect((await call("GET", "/health")).status).toBe(200)
})

test("a socket that nobody serves any more is replaced", async () => {
  const stale = join(root, "stale", "ovm.sock")
  await mkdir(join(root, "stale"))
  await writeFile(stale, "")
  const other = await serve(runtime, stale)
  expect(await connect(stale).list()).toEqual([])
  await other.close()
  expect((await refusal(connect(stale).list())).code).toBe("OVM_DAEMON_UNREACHABLE")
})

test("a body that is announced as huge, and an old version of HTTP, are answered in the words of the API", async () => {
  const heads: [head: string, status: string, body: string][] = [
    ["POST /start HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999", "413", "OVM_REQUEST_TOO_LARGE"],
    ["GET /health HTTP/1.0", "200", "ok"],
    ["GET /nowhere HTTP/1.0", "404", "OVM_ROUTE_UNKNOWN"],
  ]
  for (const [head, status, body] of heads) {
    using short = shortPath(socket)
    const connection = createConnection(short.text)
    connection.write(`${head}\r\n\r\n${head.startsWith("POST") ? "x".repeat(70_000) : ""}`)
    let answer = ""
    for await (const chunk of connection) {
      answer += chunk
      if (answer.includes(body)) break
    }
    expect(answer).toStartWith(`HTTP/1.1 ${status} `)
  }
})

test("half a request harms nobody", async () => {
  using short = shortPath(socket)
  const half = createConnection(short.text)
  half.write("POST /start HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
  expect((await call("GET", "/health")).status).toBe(200)
  half.destroy()
})

describe.skipIf(guestMissing !== "")(`with a machine ${guestMissing}`, () => {
  beforeAll(async () => {
    await packGuest(join(root, "store"), "long:latest", "tick_ms=20 button=1")
  })

  // OVMS-API-014, OVMS-API-024, OVMS-API-041, OVMS-API-043, OVMS-API-080, OVMS-API-081
  test("the seed's five operations, as it writes them", async () => {
    const started = await call(
      "POST",
      "/start",
      { manifest: "long", overrides: { name: "one" } },
      validators.StartAnswer,
    )
    const { instance_id } = started.body
    expect(started.body.status).toBe("starting")
    const path = `/status/${instance_id}`
    const status = async () => (await call("GET", path, undefined, validators.InstanceInfo)).body
    expect(await until("it has started", status, { is: ({ state }) => state !== "starting" })).toMatchObject({
      instance_id,
      state: "running",
      name: "one",
    })
    // No abbreviation and no name is an ID.
    for (const other of [`${instance_id}`.slice(0, 8), "one"])
      expect(await refused("GET", `/status/${other}`)).toStartWith("OVM_INSTANCE_UNKNOWN")
    expect(await refused("POST", "/start", { manifest: "long", overrides: { name: "one" } })).toStartWith(
      "OVM_NAME_IN_USE",
    )
    const snapshot = await call(
      "POST",
      "/snapshot",
      { instance_id, tag: "fastboot" },
      validators.SnapshotAnswer,
    )
    expect(snapshot.status).toBe(200)
    expect(await refused("DELETE", `/instances/${instance_id}`)).toStartWith("OVM_STATE_CONFLICT")

    const ticking = await readUntil(`/logs/${instance_id}?follow=true`, "TICK 2")
    expect(ticking).toContain("GUEST-READY")
    // OVMS-API-140, OVMS-API-143
    const set = (what: string) =>
      call("POST", `/instances/${instance_id}/${what}`, undefined, validators.PauseAnswer)
    for (const [what, state, reason] of [
      ["pause", "paused", "request"],
      ["pause", "paused", "request"],
      ["resume", "running", undefined],
      ["resume", "running", undefined],
    ] as const) {
      expect(await set(what)).toMatchObject({ status: 200, body: { status: state } })
      const { body } = await call("GET", path, undefined, validators.InstanceInfo)
      expect([body.state, body.reason]).toEqual([state, reason])
    }
    const stopped = await call("POST", "/stop", { instance_id }, validators.StopAnswer)
    expect(stopped.body).toEqual({ status: "stopping" })
    await until("it has stopped", status, { is: ({ state }) => state === "stopped" })
    expect((await call("POST", "/stop", { instance_id }, validators.StopAnswer)).body).toEqual({
      status: "stopped",
    })
    // It is on record until it is deleted.
    const listed = async () => (await call("GET", "/instances", undefined, validators.InstanceList)).body
    const entry = expect.objectContaining({ instance_id, state: "stopped" })
    expect((await listed()).instances).toEqual([entry])
    expect((await call("DELETE", `/instances/${instance_id}`)).status).toBe(204)
    expect((await listed()).instances).toEqual([])
  })

  test("a stream outlives the silence of its guest", async () => {
    // Longer than the ten seconds after which Bun.serve lets go of a request unless told otherwise.
    await packGuest(join(root, "store"), "quiet:latest", "tick_ms=11000 hlt=1")
    const { instance_id } = await connect(socket).start({ manifest: "quiet" })
    expect(await readUntil(`/logs/${instance_id}?follow=true`, "TICK 2")).toContain("TICK 2")
  }, 180_000)

  // OVMS-LIM-011
  test("streams are no more than the limit says", async () => {
    const { instance_id } = await connect(socket).start({ manifest: "long" })
    await readUntil(`/logs/${instance_id}?follow=true`, "TICK 1")
    const stop = new AbortController()
    using short = shortPath(socket)
    const answers: Response[] = []
    const open = async () => {
      const path = `http://ovm/logs/${instance_id}?follow=true`
      const answer = await fetch(path, { unix: short.text, signal: stop.signal })
      answers.push(answer)
      // What has come shows that it is under way.
      await answer.body?.getReader().read()
      return answer.ok
    }
    let streams = 0
    while (await open()) expect(++streams).toBeLessThanOrEqual(128)
    expect(streams).toBeGreaterThan(100)
    expect(await refused("GET", `/logs/${instance_id}?follow=true`)).toStartWith("OVM_TOO_MANY")
    // Whoever only looks is not kept from it by those who follow (OVMS-LIM-022).
    const look = await fetch(`http://ovm/logs/${instance_id}`, { unix: short.text })
    expect(await look.text()).toContain("TICK 1")
    stop.abort()
    const status = async () => {
      const path = `http://ovm/logs/${instance_id}?follow=true`
      const answer = await fetch(path, { unix: short.text })
      await answer.body?.cancel()
      return answer.status
    }
    await until("there is room again", status, { is: (status) => status === 200 })
  })

  // OVMS-API-070, OVMS-API-071, OVMS-API-072, OVMS-API-073
  test("logs are raw bytes, or one JSON object a line for those who ask", async () => {
    const { instance_id } = await connect(socket).start({ manifest: "long" })
    await readUntil(`/logs/${instance_id}?follow=true`, "TICK 1")
    await connect(socket).stop({ instance_id })
    const raw = await readUntil(`/logs/${instance_id}?follow=true`, undefined)
    using short = shortPath(socket)
    const headers = { accept: "application/x-ndjson" }
    const response = await fetch(`http://ovm/logs/${instance_id}`, { unix: short.text, headers })
    const plain = await fetch(`http://ovm/logs/${instance_id}`, { unix: short.text })
    expect(plain.headers.get("content-type")).toBe("application/octet-stream")
    expect(await plain.text()).toBe(raw)
    expect(response.headers.get("content-type")).toBe("application/x-ndjson")
    const lines = (await response.text())
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
    for (const line of lines) if (!validators.LogLine(line)) throw new Error(JSON.stringify(line))
    expect(lines.map(({ text }) => text)).toEqual(raw.replaceAll("\r", "").trimEnd().split("\n"))
  })
})

/** What a log stream gives until it has said `end`, or until it ends. */
async function readUntil(path: string, end: string | undefined): Promise<string> {
  using short = shortPath(socket)
  const response = await fetch(`http://ovm${path}`, { unix: short.text })
  let text = ""
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString("latin1")
    if (end !== undefined && text.includes(end)) break
  }
  return text
}

import { openRuntime } from "../runtime/runtime.testing.ts"
