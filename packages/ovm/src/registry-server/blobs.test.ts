import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { digestOf } from "../content/digest.ts"
import { beginUpload, expectError, pushBlob, startTest } from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

const CONTENT = "0123456789abcdef"

describe("GET of a blob", () => {
  test("gives the whole with its headers, HEAD the headers", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a/b", CONTENT)
    for (const method of ["GET", "HEAD"]) {
      const answer = await registry.call(method, `a/b/blobs/${digest}`)
      expect(answer.status).toBe(200)
      expect(await answer.text()).toBe(method === "GET" ? CONTENT : "")
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        "content-length": "16",
        "content-type": "application/octet-stream",
        "docker-content-digest": digest,
        "accept-ranges": "bytes",
        "docker-distribution-api-version": "registry/2.0",
      })
    }
  })

  test("writes the colon of a digest as clients do", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a/b", CONTENT)
    const answer = await registry.call("GET", `a/b/blobs/${digest.replace(":", "%3A")}`)
    expect(await answer.text()).toBe(CONTENT)
  })

  test("gives one range with 206", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", CONTENT)
    for (const [range, content, start] of [
      ["bytes=0-0", "0", 0],
      ["bytes=4-7", "4567", 4],
      ["bytes=10-", "abcdef", 10],
      ["bytes=-3", "def", 13],
      ["bytes=-300", CONTENT, 0],
      ["bytes=14-99999999999999999999", "ef", 14],
    ] as const) {
      const answer = await registry.call("GET", `a/blobs/${digest}`, { headers: { Range: range } })
      expect({ range, status: answer.status, content: await answer.text() }).toEqual({
        range,
        status: 206,
        content,
      })
      expect(answer.headers.get("content-range")).toBe(`bytes ${start}-${start + content.length - 1}/16`)
      expect(answer.headers.get("content-length")).toBe(`${content.length}`)
    }
  })

  test("gives the whole where a range may be ignored", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", CONTENT)
    for (const range of ["bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=x-y"]) {
      const answer = await registry.call("GET", `a/blobs/${digest}`, { headers: { Range: range } })
      expect({ range, status: answer.status, content: await answer.text() }).toEqual({
        range,
        status: 200,
        content: CONTENT,
      })
    }
  })

  test("refuses a range that is not there with 416", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", CONTENT)
    const empty = await pushBlob(registry, "a", "")
    for (const [target, range] of [
      [digest, "bytes=16-"],
      [digest, "bytes=5-4"],
      [digest, "bytes=-0"],
      [empty.digest, "bytes=0-0"],
      [empty.digest, "bytes=-5"],
    ]) {
      const answer = await registry.call("GET", `a/blobs/${target}`, { headers: { Range: `${range}` } })
      expect(answer.headers.get("content-range")).toBe(`bytes */${target === digest ? 16 : 0}`)
      await expectError(answer, 416, "SIZE_INVALID")
    }
  })

  test("serves an empty blob", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", "")
    const answer = await registry.call("GET", `a/blobs/${digest}`)
    expect({ status: answer.status, length: answer.headers.get("content-length") }).toEqual({
      status: 200,
      length: "0",
    })
    expect(await answer.text()).toBe("")
  })

  test("serves nothing from a repository that does not have it", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "mine", CONTENT)
    await expectError(await registry.call("GET", `yours/blobs/${digest}`), 404, "BLOB_UNKNOWN", digest)
    expect((await registry.call("HEAD", `yours/blobs/${digest}`)).status).toBe(404)
    await expectError(await registry.call("GET", `mine/blobs/${digestOf("x")}`), 404, "BLOB_UNKNOWN")
  })

  test("refuses what is no digest", async () => {
    await using registry = await startTest()
    for (const digest of ["sha256:12", `sha256:${"A".repeat(64)}`, `sha1:${"a".repeat(40)}`, "latest"])
      await expectError(
        await registry.call("GET", `a/blobs/${digest}`),
        400,
        "DIGEST_INVALID",
        digest.slice(0, 60),
      )
    await expectError(await registry.call("GET", "a/blobs/..%2f..%2fx"), 404, "UNSUPPORTED")
  })

  test("takes sha512 as well", async () => {
    await using registry = await startTest()
    const digest = `sha512:${createHash("sha512").update(CONTENT).digest("hex")}`
    const location = await beginUpload(registry, "a")
    expect((await registry.call("PUT", `${location}?digest=${digest}`, { body: CONTENT })).status).toBe(201)
    expect(await (await registry.call("GET", `a/blobs/${digest}`)).text()).toBe(CONTENT)
    await expectError(await registry.call("GET", `a/blobs/${digestOf(CONTENT)}`), 404, "BLOB_UNKNOWN")
  })
})

describe("DELETE of a blob", () => {
  test("takes it from this repository alone", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", CONTENT)
    await pushBlob(registry, "b", CONTENT)
    expect((await registry.call("DELETE", `a/blobs/${digest}`)).status).toBe(202)
    expect((await registry.call("GET", `a/blobs/${digest}`)).status).toBe(404)
    await expectError(await registry.call("DELETE", `a/blobs/${digest}`), 404, "BLOB_UNKNOWN", digest)
    expect(await (await registry.call("GET", `b/blobs/${digest}`)).text()).toBe(CONTENT)
  })
})

describe("mount", () => {
  const mount = (digest: string, from?: string) =>
    `b/blobs/uploads/?mount=${digest}${from === undefined ? "" : `&from=${from}`}`

  test("makes a blob of another repository one of this", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", CONTENT)
    const answer = await registry.call("POST", mount(digest, "a"))
    expect(answer.status).toBe(201)
    expect(answer.headers.get("location")).toBe(`/v2/b/blobs/${digest}`)
    expect(await (await registry.call("GET", `b/blobs/${digest}`)).text()).toBe(CONTENT)
  })

  test("finds the repository by itself where none is named", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "somewhere/else", CONTENT)
    expect((await registry.call("POST", mount(digest))).status).toBe(201)
  })

  test("begins an upload where it is not there, or not any more", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", CONTENT)
    await registry.call("DELETE", `a/blobs/${digest}`)
    for (const from of ["a", "nowhere", undefined]) {
      const answer = await registry.call("POST", mount(digest, from))
      expect({ from, status: answer.status }).toEqual({ from, status: 202 })
      expect(answer.headers.get("location")).toStartWith("/v2/b/blobs/uploads/")
    }
    expect((await registry.call("GET", `b/blobs/${digest}`)).status).toBe(404)
  })

  test("refuses hostile names and digests", async () => {
    await using registry = await startTest()
    await expectError(
      await registry.call("POST", mount(digestOf("x"), "../../etc")),
      400,
      "NAME_INVALID",
      "../../etc",
    )
    await expectError(await registry.call("POST", mount("../x", "a")), 400, "DIGEST_INVALID", "../x")
  })
})
