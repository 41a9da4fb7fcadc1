import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawn } from "node:child_process"
import { copyFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { findPeer } from "@ovms/testkit/registry.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// The API for clients of gRPC, by gRPC's own compiler and client for Python.
setDefaultTimeout(240_000)

const PROTO = join(import.meta.dir, "../../../spec/api/ovms.proto")
const client = findPeer("grpc-py")
const skip = guestMissing || (client ? "" : "gRPC's Python client is not built (make peers)")
if (skip) console.log(`SKIP packages/ovm/test/grpc.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("the API by gRPC", () => {
  let box: Sandbox
  let socket: string

  beforeAll(async () => {
    box = await Sandbox.create()
    socket = box.path("grpc.sock")
    await copyFile(await buildGuest(), box.path("kernel"))
    const args = ["--kernel", "kernel", "--args", "console=ttyS0 tick_ms=100", "--memory", "32MiB"]
    await box.ok(["pack", ...args, "-t", "m:1"], { cwd: box.directory })
    await box.ok(["daemon", "--detach", "--grpc", `unix:${socket}`])
  })
  afterAll(() => box?.[Symbol.asyncDispose]())

  /** The answers to one call. */
  async function call(method: string, ...messages: readonly object[]): Promise<Record<string, unknown>[]> {
    const texts = messages.length > 0 ? messages.map((one) => JSON.stringify(one)) : ["{}"]
    const { stdout, stderr } = await finished(
      spawn(client ?? "", [PROTO, box.directory, socket, method, ...texts]),
    )
    expect(stderr).toBe("")
    return stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line)]))
  }

  test("a machine is started, read, listed, stopped and removed", async () => {
    expect((await stat(socket)).mode & 0o777).toBe(0o600)
    expect(await call("Health")).toEqual([{ status: "ok", root: box.home }])
    const [started] = await call("Start", {
      manifest: "m:1",
      overrides: { name: "far", memory: 64 << 20, labels: { a: "b" } },
    })
    const instance_id = started?.instance_id
    const [info] = await call("Status", { instance_id })
    expect(info).toMatchObject({ instance_id, name: "far", state: "running", labels: { a: "b" } })
    // gRPC's JSON writes integers of 64 bits as strings.
    expect(info?.resources).toMatchObject({ memory: `${64 << 20}` })
    expect(await call("List")).toMatchObject([{ instances: [{ instance_id }] }])
    await box.console("far", "tick")
    expect(await call("Stop", { instance_id, grace_ms: 0 })).toMatchObject([{ status: "stopping" }])
    await box.ok(["wait", "far"])
    const lines = await call("Logs", { instance_id, tail: 2 })
    expect(lines).toHaveLength(2)
    expect(lines[0]).toEqual({ time: expect.any(String), text: expect.any(String) })
    const events = await call("Events", {})
    expect(events.map(({ type }) => type)).toContain("running")
    expect(await call("Metrics")).toEqual([{ text: expect.stringContaining("ovm_instances") }])
    expect(await call("Remove", { instance_id })).toEqual([{}])
    expect(await call("List")).toEqual([{}])
  })

  test("what goes wrong has gRPC's code, the code of the closed list, and all of the answer", async () => {
    const nobody = "00000000-0000-4000-8000-000000000000"
    const [unknown] = await call("Status", { instance_id: nobody })
    expect(unknown).toMatchObject({
      status: "NOT_FOUND",
      details: expect.stringContaining(nobody),
      trailers: { "ovm-code": "OVM_INSTANCE_UNKNOWN" },
    })
    const { "ovm-errors-bin": body = "" } = (unknown?.trailers ?? {}) as Record<string, string>
    expect(JSON.parse(body)).toMatchObject({ errors: [{ code: "OVM_INSTANCE_UNKNOWN" }] })
    expect(await call("Start", {})).toMatchObject([{ status: "INVALID_ARGUMENT" }])
    expect(await call("Logs", { instance_id: "../x", follow: true })).toMatchObject([
      { status: "NOT_FOUND", trailers: { "ovm-code": "OVM_INSTANCE_UNKNOWN" } },
    ])
    const [typed] = await call(
      "Type",
      { instance_id: nobody, attachment: "a", content: "eA==" },
      { content: "eQ==" },
    )
    expect(typed).toMatchObject({ trailers: { "ovm-code": "OVM_INSTANCE_UNKNOWN" } })
  })

  test("its socket is one of its own, and nobody's file", async () => {
    await using other = await Sandbox.create()
    await writeFile(other.path("file"), "mine")
    const grpc = (path: string) => ["daemon", "--grpc", `unix:${path}`]
    await other.fails(grpc(other.path("file")), "OVM_USAGE", ["file", "not a socket"])
    await other.fails(grpc(socket), "OVM_DAEMON_RUNNING", [socket])
    await other.fails(grpc(other.path("x".repeat(120))), "OVM_USAGE", ["107 bytes"])
    await other.fails(["daemon", "--grpc", "0.0.0.0:50051"], "OVM_USAGE", ["unix:PATH"])
    // One that was killed has left its socket, and the next one takes that place.
    const { pid } = (await box.json(["info"])).daemon
    process.kill(pid, "SIGKILL")
    await until("its end", () => box.json(["info"]), { is: ({ daemon }) => !daemon.running })
    await box.ok(["daemon", "--detach", "--grpc", `unix:${socket}`])
    expect(await call("Health")).toMatchObject([{ status: "ok" }])
    await box.ok(["daemon", "--stop"])
    expect(await stat(socket).catch(() => "gone")).toBe("gone")
  })
})
