import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { openRepository } from "@ovms/testkit/repository.ts"
import { storeSuite } from "../content/store.suite.ts"
import { parseReference } from "../registry/reference.ts"
import { expectError, startTest } from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

storeSuite("embedded registry", async () => {
  const registry = await startTest()
  const reference = parseReference(`${registry.host}/suite/${crypto.randomUUID()}`)
  return {
    store: openRepository(reference),
    reference: (tag) => reference.withTag(tag).toString(),
    [Symbol.asyncDispose]: () => registry[Symbol.asyncDispose](),
  }
})

describe("the registry", () => {
  test("answers at its root", async () => {
    await using registry = await startTest()
    for (const path of ["/v2/", "/v2"]) {
      const answer = await registry.call("GET", path)
      expect({ status: answer.status, body: await answer.json() }).toEqual({ status: 200, body: {} })
      expect(answer.headers.get("docker-distribution-api-version")).toBe("registry/2.0")
    }
  })

  test("knows no other paths and methods", async () => {
    await using registry = await startTest()
    for (const path of ["/", "/v1/", "/v2/a", "/v2/a/tags", "/v2/a/blobs", "/v2//tags/list", "/etc/passwd"])
      await expectError(await registry.call("GET", path), 404, "UNSUPPORTED")
    for (const [method, path, allowed] of [
      ["POST", "a/tags/list", "GET"],
      ["PUT", "a/blobs/sha256:1", "GET, DELETE"],
      ["GET", "a/blobs/uploads/", "POST"],
      ["PATCH", "a/manifests/latest", "GET, PUT, DELETE"],
    ] as const) {
      const answer = await registry.call(method, path)
      expect(answer.headers.get("allow")).toBe(allowed)
      await expectError(answer, 405, "UNSUPPORTED", method)
    }
  })

  test("refuses names that no repository has", async () => {
    await using registry = await startTest()
    for (const name of [
      "UPPER",
      "a//b",
      "..%2f..%2fetc",
      "%2e%2e%2fx",
      "a%00b",
      "_blobs",
      "a/_tags",
      "-a",
      "a-",
      "a%5cb",
      "a".repeat(300),
      "%ff",
    ]) {
      const answer = await registry.call("GET", `${name}/tags/list`)
      await expectError(answer, 400, "NAME_INVALID")
      await expectError(await registry.call("POST", `${name}/blobs/uploads/`), 400, "NAME_INVALID")
    }
    expect(registry.errors).toEqual([])
  })

  test("serves a repository whose name has words of the API in it", async () => {
    await using registry = await startTest()
    const store = openRepository(parseReference(`${registry.host}/blobs/uploads/manifests/tags:list`))
    const { pushImage } = await import("../content/store.testing.ts")
    const image = await pushImage(store, "odd", "{}", "layer")
    await store.tag(image, "list")
    expect((await store.resolve("list")).digest).toBe(image.digest)
  })
})
