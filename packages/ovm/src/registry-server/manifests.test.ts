import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { connect } from "node:net"
import { describeBytes, manifestOver, text } from "../content/store.testing.ts"
import { expectError, pushBlob, pushManifest, putManifest, putTyped, startTest } from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

const OCI = "application/vnd.oci.image.manifest.v1+json"
const INDEX = "application/vnd.oci.image.index.v1+json"

describe("a manifest", () => {
  test("comes back as it was sent, by tag and by digest", async () => {
    await using registry = await startTest()
    const config = await pushBlob(registry, "a", "{}")
    // Bytes that no serializer would make.
    const bytes = text(` ${Buffer.from(manifestOver([config])).toString()}\n\n`)
    const { digest, size } = describeBytes(bytes)
    const put = await putManifest(registry, "a", "v1", bytes)
    expect(put.status).toBe(201)
    expect(put.headers.get("location")).toBe(`/v2/a/manifests/${digest}`)
    for (const reference of ["v1", digest])
      for (const method of ["GET", "HEAD"]) {
        const answer = await registry.call(method, `a/manifests/${reference}`)
        expect(Object.fromEntries(answer.headers)).toMatchObject({
          "content-type": OCI,
          "content-length": `${size}`,
          "docker-content-digest": digest,
        })
        expect(Buffer.from(await answer.bytes())).toEqual(Buffer.from(method === "GET" ? bytes : ""))
      }
  })

  test("may have up to 4 MiB, and no more", async () => {
    await using registry = await startTest()
    const config = await pushBlob(registry, "a", "{}")
    const bare = manifestOver([config], "").byteLength
    const fitting = manifestOver([config], "x".repeat(4 * 1024 * 1024 - bare))
    expect(fitting.byteLength).toBe(4 * 1024 * 1024)
    expect((await putManifest(registry, "a", "v1", fitting)).status).toBe(201)
    const larger = text(`${Buffer.from(fitting).toString()} `)
    await expectError(await putManifest(registry, "a", "v1", larger), 413, "SIZE_INVALID", "4194304")
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(larger)
        controller.close()
      },
    })
    const unsized = await registry.call("PUT", "a/manifests/v1", {
      body: stream,
      headers: { "Content-Type": OCI },
    })
    await expectError(unsized, 413, "SIZE_INVALID")
  })

  test("of more is not read once that is answered", async () => {
    await using registry = await startTest()
    const [hostname = "", port] = registry.host.split(":")
    const head = `PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: ${OCI}\r\n`
    const sized = "Content-Length: 1000000000000\r\n\r\n"
    for (const [body, goesOn] of [
      [sized, false],
      [sized, true],
      ["Transfer-Encoding: chunked\r\n\r\n", true],
    ] as const) {
      const socket = connect(Number(port), hostname)
      const closed = new Promise((resolve) => socket.once("close", resolve))
      let answer = ""
      socket.on("data", (chunk) => {
        answer += chunk
      })
      socket.on("error", () => {})
      socket.write(head + body)
      const more = () => {
        while (!socket.destroyed && socket.write(`40000\r\n${"x".repeat(1 << 18)}\r\n`));
      }
      if (goesOn) {
        socket.on("drain", more)
        more()
      }
      // It would go on for ever.
      await closed
      // One that is closed while its client still sends may take the answer with it (RFC 9112, 9.6).
      if (goesOn && answer === "") continue
      expect(answer).toStartWith("HTTP/1.1 413 ")
      expect(answer).toMatch(/^Connection: close/im)
    }
    expect(registry.errors).toEqual([])
  })

  test("must have the digest that it is pushed by", async () => {
    await using registry = await startTest()
    const other = describeBytes(text("other")).digest
    const config = await pushBlob(registry, "a", "{}")
    await expectError(
      await putManifest(registry, "a", other, manifestOver([config])),
      400,
      "DIGEST_INVALID",
      other,
    )
    await expectError(
      await putManifest(registry, "a", "sha256:1", manifestOver([config])),
      400,
      "DIGEST_INVALID",
    )
  })

  test("must be a manifest", async () => {
    await using registry = await startTest()
    const { digest } = await pushBlob(registry, "a", "{}")
    const config = { mediaType: "x/y", digest, size: 2 }
    for (const [body, culprit] of [
      ["", "JSON"],
      ["nonsense", "JSON"],
      ["[]", "object"],
      ["[".repeat(200_000), "JSON"],
      [JSON.stringify({ config: { ...config, digest: "sha256:1" } }), "config"],
      [JSON.stringify({ config: { ...config, size: -1 } }), "config"],
      [JSON.stringify({ config, layers: {} }), "layers"],
      [JSON.stringify({ config, layers: [config, null] }), "layers[1]"],
      [JSON.stringify({ manifests: [{}] }), "manifests[0]"],
      [JSON.stringify({ config, subject: "x" }), "subject"],
      [JSON.stringify({ config, mediaType: 1 }), "mediaType"],
      [JSON.stringify({ config, mediaType: INDEX }), INDEX],
      [JSON.stringify({ config, annotations: { a: 1 } }), "annotations"],
    ] as const)
      await expectError(await putManifest(registry, "a", "v1", body), 400, "MANIFEST_INVALID", culprit)
    await expectError(
      await putTyped(registry, "a/manifests/v1", "nonsense", "{}"),
      400,
      "MANIFEST_INVALID",
      "Content-Type",
    )
    await expectError(
      await putManifest(registry, "a", "v1", new Uint8Array([0xff])),
      400,
      "MANIFEST_INVALID",
      "UTF-8",
    )
    await expectError(await putManifest(registry, "a", "-bad-tag", "{}"), 400, "MANIFEST_INVALID", "-bad-tag")
    await expectError(await putManifest(registry, "a", "t".repeat(129), "{}"), 400, "MANIFEST_INVALID")
  })

  test("must come after what it refers to, but for what lies elsewhere and for platforms", async () => {
    await using registry = await startTest()
    const config = await pushBlob(registry, "a", "{}")
    const layer = describeBytes(text("never pushed"))
    await expectError(
      await putManifest(registry, "a", "v1", manifestOver([config, layer])),
      400,
      "MANIFEST_BLOB_UNKNOWN",
      layer.digest,
    )
    // A blob of another repository is not one of this.
    await expectError(
      await putManifest(registry, "b", "v1", manifestOver([config])),
      400,
      "MANIFEST_BLOB_UNKNOWN",
      config.digest,
    )
    const foreign = { ...layer, mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar" }
    const elsewhere = { ...layer, urls: ["https://example.com/layer"] }
    expect((await putManifest(registry, "a", "v1", manifestOver([config, foreign, elsewhere]))).status).toBe(
      201,
    )
    const index = JSON.stringify({
      schemaVersion: 2,
      mediaType: INDEX,
      manifests: [{ ...layer, mediaType: OCI }],
    })
    expect((await putTyped(registry, "a/manifests/v1", INDEX, index)).status).toBe(201)
  })

  test("may be of a type that nobody knows", async () => {
    await using registry = await startTest()
    const type = "application/vnd.example.thing.v3+json"
    expect((await putTyped(registry, "a/manifests/v1", type, '{"thing":true}')).status).toBe(201)
    const answer = await registry.call("GET", "a/manifests/v1", { headers: { Accept: OCI } })
    expect({ type: answer.headers.get("content-type"), body: await answer.text() }).toEqual({
      type,
      body: '{"thing":true}',
    })
  })

  test("takes several tags with one request", async () => {
    await using registry = await startTest()
    const config = await pushBlob(registry, "a", "{}")
    const bytes = manifestOver([config])
    const { digest } = describeBytes(bytes)
    const answer = await putManifest(registry, "a", `${digest}?tag=one&tag=two`, bytes)
    expect(answer.headers.get("oci-tag")).toBe("one, two")
    for (const tag of ["one", "two"])
      expect((await registry.call("HEAD", `a/manifests/${tag}`)).headers.get("docker-content-digest")).toBe(
        digest,
      )
    await expectError(
      await putManifest(registry, "a", `${digest}?tag=/x`, bytes),
      400,
      "MANIFEST_INVALID",
      "/x",
    )
  })

  test("is deleted with its tags; a tag is deleted alone", async () => {
    await using registry = await startTest()
    const first = await pushManifest(registry, "a", "v1")
    const config = await pushBlob(registry, "a", "{}")
    await putManifest(registry, "a", "same", manifestOver([config], "v1"))
    await pushManifest(registry, "a", "v2")
    expect((await registry.call("DELETE", "a/manifests/v2")).status).toBe(202)
    await expectError(await registry.call("DELETE", "a/manifests/v2"), 404, "MANIFEST_UNKNOWN", "v2")
    expect(await (await registry.call("GET", "a/tags/list")).json()).toEqual({
      name: "a",
      tags: ["same", "v1"],
    })
    expect((await registry.call("DELETE", `a/manifests/${first.digest}`)).status).toBe(202)
    for (const reference of ["v1", "same", first.digest])
      await expectError(
        await registry.call("GET", `a/manifests/${reference}`),
        404,
        "MANIFEST_UNKNOWN",
        reference,
      )
    expect(await (await registry.call("GET", "a/tags/list")).json()).toEqual({ name: "a", tags: [] })
  })

  test("is unknown in other repositories", async () => {
    await using registry = await startTest()
    const { digest } = await pushManifest(registry, "a", "v1")
    for (const reference of ["v1", digest])
      await expectError(
        await registry.call("GET", `b/manifests/${reference}`),
        404,
        "MANIFEST_UNKNOWN",
        reference,
      )
  })

  test("of many writers of one tag: the tag is always one of them", async () => {
    await using registry = await startTest()
    const config = await pushBlob(registry, "a", "{}")
    const bodies = Array.from({ length: 20 }, (_, at) => manifestOver([config], `${at}`))
    const digests: unknown[] = bodies.map((body) => describeBytes(body).digest)
    const writers = bodies.map((body) => putManifest(registry, "a", "v1", body))
    await writers[0]
    const read = await registry.call("GET", "a/manifests/v1")
    expect(digests).toContain(read.headers.get("docker-content-digest"))
    expect((await Promise.all(writers)).map(({ status }) => status)).toEqual(Array(20).fill(201))
    for (const digest of digests)
      expect((await registry.call("HEAD", `a/manifests/${digest}`)).status).toBe(200)
  })
})
