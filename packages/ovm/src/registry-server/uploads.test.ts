import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdir } from "node:fs/promises"
import { connect } from "node:net"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { digestOf } from "../content/digest.ts"
import { clientOf } from "./client.ts"
import {
  beginUpload,
  expectError,
  locationOf,
  pushBlob,
  startTest,
  type TestRegistry,
} from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

const CONTENT = "0123456789abcdef"
const DIGEST = digestOf(CONTENT)

function chunk(registry: TestRegistry, location: string, start: number, content: string): Promise<Response> {
  return registry.call("PATCH", location, {
    body: content,
    headers: {
      "Content-Range": `${start}-${start + content.length - 1}`,
      "Content-Type": "application/octet-stream",
    },
  })
}

describe("an upload", () => {
  test("in one POST, in POST and PUT, in one PATCH", async () => {
    await using registry = await startTest()
    const inOne = await registry.call("POST", `a/blobs/uploads/?digest=${DIGEST}`, { body: CONTENT })
    expect({ status: inOne.status, location: inOne.headers.get("location") }).toEqual({
      status: 201,
      location: `/v2/a/blobs/${DIGEST}`,
    })
    const put = await registry.call("PUT", `${await beginUpload(registry, "b")}?digest=${DIGEST}`, {
      body: CONTENT,
    })
    expect(put.status).toBe(201)
    expect(put.headers.get("docker-content-digest")).toBe(DIGEST)
    const patched = await registry.call("PATCH", await beginUpload(registry, "c"), { body: CONTENT })
    expect({ status: patched.status, range: patched.headers.get("range") }).toEqual({
      status: 202,
      range: "0-15",
    })
    expect((await registry.call("PUT", `${locationOf(patched)}?digest=${DIGEST}`)).status).toBe(201)
    for (const repository of ["a", "b", "c"])
      expect(await (await registry.call("GET", `${repository}/blobs/${DIGEST}`)).text()).toBe(CONTENT)
  })

  test("in chunks, the last one with the PUT", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    expect((await chunk(registry, location, 0, "0123")).headers.get("range")).toBe("0-3")
    const progress = await registry.call("GET", location)
    expect({ status: progress.status, range: progress.headers.get("range") }).toEqual({
      status: 204,
      range: "0-3",
    })
    expect((await chunk(registry, location, 4, "456789")).headers.get("range")).toBe("0-9")
    const put = await registry.call("PUT", `${location}?digest=${DIGEST}`, {
      body: "abcdef",
      headers: { "Content-Range": "10-15" },
    })
    expect(put.status).toBe(201)
    expect(await (await registry.call("GET", `a/blobs/${DIGEST}`)).text()).toBe(CONTENT)
    await expectError(await registry.call("GET", location), 404, "BLOB_UPLOAD_UNKNOWN")
  })

  test("of many large chunks is hashed across them", async () => {
    await using registry = await startTest()
    const bytes = new Uint8Array(5_000_001).map((_, at) => at * 31 + (at >> 12))
    const location = await beginUpload(registry, "a")
    for (let at = 0; at < bytes.byteLength; at += 1_300_000) {
      const part = bytes.subarray(at, at + 1_300_000)
      const headers = { "Content-Range": `${at}-${at + part.byteLength - 1}` }
      expect((await registry.call("PATCH", location, { body: part, headers })).status).toBe(202)
    }
    expect((await registry.call("PUT", `${location}?digest=${digestOf(bytes)}`)).status).toBe(201)
    const answer = await registry.call("GET", `a/blobs/${digestOf(bytes)}`)
    expect(digestOf(await answer.bytes())).toBe(digestOf(bytes))
  })

  test("refuses chunks out of order with 416 and goes on from what it says", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    await chunk(registry, location, 0, "0123")
    for (const start of [0, 2, 8]) {
      const answer = await chunk(registry, location, start, "xxxx")
      expect(answer.headers.get("range")).toBe("0-3")
      expect(answer.headers.get("location")).toBe(location)
      await expectError(answer, 416, "BLOB_UPLOAD_INVALID", `${start}`)
    }
    await expectError(
      await registry.call("PUT", `${location}?digest=${DIGEST}`, {
        body: "abcdef",
        headers: { "Content-Range": "10-15" },
      }),
      416,
      "BLOB_UPLOAD_INVALID",
    )
    await chunk(registry, location, 4, CONTENT.slice(4))
    expect((await registry.call("PUT", `${location}?digest=${DIGEST}`)).status).toBe(201)
  })

  test("refuses ranges that do not fit", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    const patch = (range: string) =>
      registry.call("PATCH", location, { body: "0123", headers: { "Content-Range": range } })
    for (const range of ["0-4", "0-2"]) await expectError(await patch(range), 400, "SIZE_INVALID", range)
    for (const range of ["3-0", "x", "-3", "0-"])
      await expectError(await patch(range), 400, "BLOB_UPLOAD_INVALID")
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("0123"))
        controller.close()
      },
    })
    const unknown = await registry.call("PATCH", location, {
      body: stream,
      headers: { "Content-Range": "0-99" },
    })
    await expectError(unknown, 400, "SIZE_INVALID", "0-99")
    expect((await patch("0-3")).status).toBe(202)
  })

  test("of other content than its digest says leaves nothing", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    await expectError(
      await registry.call("PUT", `${location}?digest=${DIGEST}`, { body: "something else" }),
      400,
      "DIGEST_INVALID",
    )
    await expectError(await registry.call("GET", location), 404, "BLOB_UPLOAD_UNKNOWN")
    await expectError(
      await registry.call("POST", `a/blobs/uploads/?digest=${DIGEST}`, { body: "something else" }),
      400,
      "DIGEST_INVALID",
    )
    await expectError(await registry.call("GET", `a/blobs/${DIGEST}`), 404, "BLOB_UNKNOWN")
    expect(registry.errors).toEqual([])
  })

  test("wants a digest at its end", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    await expectError(await registry.call("PUT", location, { body: CONTENT }), 400, "DIGEST_INVALID")
    await expectError(
      await registry.call("PUT", `${location}?digest=md5:1`, { body: CONTENT }),
      400,
      "DIGEST_INVALID",
    )
  })

  test("is cancelled by DELETE", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    expect((await registry.call("DELETE", location)).status).toBe(204)
    for (const method of ["GET", "PATCH", "DELETE"])
      await expectError(await registry.call(method, location), 404, "BLOB_UPLOAD_UNKNOWN")
  })

  test("is known in its own repository only, and by its own name", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    await expectError(await registry.call("GET", location.replace("/a/", "/b/")), 404, "BLOB_UPLOAD_UNKNOWN")
    for (const id of [crypto.randomUUID(), "x", "..", "%2e%2e%2f%2e%2e%2flock"])
      expect((await registry.call("PATCH", `a/blobs/uploads/${id}`, { body: "x" })).status).toBeOneOf([
        400, 404, 405,
      ])
  })

  test("keeps what came before the connection broke", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    const [host = "", port] = registry.host.split(":")
    const socket = connect(Number(port), host)
    socket.write(
      `PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\nContent-Range: 0-15\r\n\r\n01234567`,
    )
    const came = async () => (await registry.call("GET", location)).headers.get("range")
    socket.destroySoon()
    await until("eight bytes that came", came, { is: (range) => range === "0-7" })
    expect((await chunk(registry, location, 8, "89abcdef")).status).toBe(202)
    expect((await registry.call("PUT", `${location}?digest=${DIGEST}`)).status).toBe(201)
    expect(registry.errors).toEqual([])
  })

  test("goes on while an earlier connection hangs", async () => {
    await using registry = await startTest()
    const location = await beginUpload(registry, "a")
    const [host = "", port] = registry.host.split(":")
    const hanging = connect(Number(port), host)
    hanging.on("error", () => {})
    try {
      hanging.write(
        `PATCH ${location} HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\nContent-Range: 0-15\r\n\r\n0123`,
      )
      await Bun.sleep(50)
      // What the server has of it by now is 4 bytes, or nothing if it has not looked at the request yet: it may do so
      // at any time.
      const rest = async () => {
        const { status } = await chunk(registry, location, 4, CONTENT.slice(4))
        return status === 416 ? (await chunk(registry, location, 0, CONTENT)).status : status
      }
      await until("one of them is taken", rest, { is: (status) => status !== 416 })
      expect((await registry.call("PUT", `${location}?digest=${DIGEST}`)).status).toBe(201)
    } finally {
      hanging.destroy()
    }
  })

  test("of the same blob many times at once", async () => {
    await using registry = await startTest()
    const body = "many".repeat(100_000)
    const push = () => registry.call("POST", `a/blobs/uploads/?digest=${digestOf(body)}`, { body })
    const answers = await Promise.all(Array.from({ length: 16 }, push))
    expect(answers.map(({ status }) => status)).toEqual(Array(16).fill(201))
    expect(await (await registry.call("GET", `a/blobs/${digestOf(body)}`)).text()).toBe(body)
  })

  describe("within limits", () => {
    const uploads = { all: 20, each: 5, namedBytes: Number.POSITIVE_INFINITY, anonymousBytes: 1 << 20 }
    const files = async (root: string) =>
      (await readdir(join(root, "repositories/a/_uploads")).catch(() => [])).length

    test("a flood of empty ones keeps nobody from a push, and never one that is under way", async () => {
      await using registry = await startTest({ uploads })
      const mine = await beginUpload(registry, "a")
      expect((await registry.call("PATCH", mine, { body: CONTENT })).status).toBe(202)
      for (let at = 0; at < 50; at++) await beginUpload(registry, "a")
      expect(await files(registry.root)).toBe(uploads.each)
      expect((await registry.call("PUT", `${mine}?digest=${DIGEST}`)).status).toBe(201)
      await pushBlob(registry, "b", "another")
    })

    test("those of others count as well", async () => {
      await using registry = await startTest({ uploads: { ...uploads, all: 3 } })
      for (let at = 0; at < 10; at++) await beginUpload(registry, "a")
      expect(await files(registry.root)).toBe(3)
    })

    test("one on which requests work is not given up for another", async () => {
      await using registry = await startTest({ uploads: { ...uploads, each: 1 } })
      const { promise, resolve } = Promise.withResolvers<void>()
      const body = (async function* () {
        yield new TextEncoder().encode("x")
        await promise
      })()
      const location = await beginUpload(registry, "a")
      const patching = registry.call("PATCH", location, { body })
      const another = () => registry.call("POST", "a/blobs/uploads/")
      const answer = await until("the other one is worked on", another, {
        is: ({ status }) => status === 429,
      })
      expect(answer.headers.get("retry-after")).not.toBeNull()
      await expectError(answer, 429, "TOOMANYREQUESTS")
      resolve()
      await patching
    })

    test("a client without a name may have so many bytes in those that are not finished", async () => {
      await using registry = await startTest({ uploads })
      const half = "x".repeat(600_000)
      const left = await beginUpload(registry, "a")
      expect((await registry.call("PATCH", left, { body: half })).status).toBe(202)
      // What was left alone makes room for what is under way.
      const location = await beginUpload(registry, "a")
      expect((await registry.call("PATCH", location, { body: half })).status).toBe(202)
      await expectError(await registry.call("GET", left), 404, "BLOB_UPLOAD_UNKNOWN")
      const answer = await registry.call("PATCH", location, { body: half })
      await expectError(answer, 413, "SIZE_INVALID", "--upload-quota")
      // It could never be finished, so its bytes have gone.
      await expectError(await registry.call("GET", location), 404, "BLOB_UPLOAD_UNKNOWN")
      expect(await files(registry.root)).toBe(0)
      await pushBlob(registry, "b", half)
      expect(registry.errors).toEqual([])
    })

    test("one that comes to be too much in many pieces is refused as one that is at once", async () => {
      await using registry = await startTest({ uploads: { ...uploads, anonymousBytes: 8 << 20 } })
      const location = await beginUpload(registry, "a")
      const body = (async function* () {
        for (let pieces = 0; pieces < 10; pieces++) yield new Uint8Array(1 << 20)
      })()
      await expectError(
        await registry.call("PATCH", location, { body }),
        413,
        "SIZE_INVALID",
        "--upload-quota",
      )
      expect(await files(registry.root)).toBe(0)
      expect(registry.errors).toEqual([])
    })

    test("a client is its address, this host by whichever, or its network of IPv6", () => {
      const id = (address: string, near = false) => clientOf(undefined, address, near).id
      expect(id("127.0.0.1", true)).toBe(id("127.0.0.2", true))
      expect(id("192.0.2.1")).not.toBe(id("192.0.2.2"))
      expect(id("2001:db8:0:1::5")).toBe(id("2001:db8::1:2:3:4:5"))
      expect(id("2001:db8:0:1::5")).not.toBe(id("2001:db8:0:2::5"))
      expect(clientOf("robot", "192.0.2.1", false)).toEqual({ id: "user robot", named: true })
    })
  })
})
