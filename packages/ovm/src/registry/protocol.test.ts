import { describe, expect, test } from "bun:test"
import { refusal, startFaults } from "@ovms/testkit/faults.ts"
import { copy } from "../content/copy.ts"
import { digestOf } from "../content/digest.ts"
import { OCI_MANIFEST } from "../content/manifest.ts"
import { MemoryStore } from "../content/memory.ts"
import { bytesOf } from "../content/read.ts"
import { collect, describeBytes, failure, manifestOver, text } from "../content/store.testing.ts"
import { HttpStore } from "./http-store.ts"
import { Transport } from "./transport/transport.ts"

// Registries that break the protocol in small ways: a right result or a coded error, and never a wrong byte.

const LIMITS = { attempts: 2, backoffMs: 1, responseMs: 5_000, stallMs: 2_000 }
const storeAt = (host: string) => new HttpStore(new Transport(host, { limits: LIMITS }), "a/b")
const MANIFEST = manifestOver([], "right")
const OTHER = manifestOver([], "other")
const target = describeBytes(MANIFEST, OCI_MANIFEST)
const headers = (digest: string, bytes: Uint8Array) => ({
  "Content-Type": OCI_MANIFEST,
  "Docker-Content-Digest": digest,
  "Content-Length": `${bytes.byteLength}`,
})

describe("a manifest", () => {
  const HUGE = new Uint8Array(10 * 1024 * 1024).fill(32)

  test("of 10 MiB is not read, whether HEAD says so or not, nor pushed", async () => {
    let bytes = 0
    await using registry = startFaults(({ request }) => {
      if (request.method === "HEAD") return new Response(null, { headers: headers(digestOf(HUGE), HUGE) })
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          bytes += 65_536
          // Far more than what sockets on both sides hold.
          if (bytes > 256 * 1024 * 1024) controller.close()
          else controller.enqueue(HUGE.subarray(0, 65_536))
        },
      })
      return new Response(body, { headers: { "Content-Type": OCI_MANIFEST } })
    })
    await failure(copy(storeAt(registry.host), "v1", new MemoryStore()), "OVM_TOO_LARGE")
    expect(bytes).toBe(0)
    const { fault } = registry
    registry.fault = (passing) =>
      passing.request.method === "HEAD" ? new Response(null, { status: 200 }) : fault(passing)
    await failure(storeAt(registry.host).resolve("v1"), "OVM_TOO_LARGE")
    expect(bytes).toBeLessThan(64 * 1024 * 1024)
    registry.fault = () => refusal(404, "MANIFEST_UNKNOWN")
    const pushing = storeAt(registry.host).push(describeBytes(HUGE, OCI_MANIFEST), bytesOf(HUGE))
    await failure(pushing, "OVM_TOO_LARGE")
    expect(registry.seen.some(({ method }) => method === "PUT")).toBe(false)
  })

  test("whose tag is answered with another digest than its content has", async () => {
    await using registry = startFaults(({ request }) => {
      const answer = { headers: headers(digestOf(OTHER), MANIFEST) }
      return request.method === "HEAD" ? new Response(null, answer) : new Response(MANIFEST, answer)
    })
    const error = await failure(copy(storeAt(registry.host), "v1", new MemoryStore()), "OVM_DIGEST_MISMATCH")
    expect(error.message).toContain(digestOf(OTHER))
  })

  test("is had with what its tag stands for by one request, or refused if both do not agree", async () => {
    await using registry = startFaults(
      () => new Response(MANIFEST, { headers: headers(target.digest, MANIFEST) }),
    )
    const { descriptor, bytes } = await storeAt(registry.host).fetchReference("v1")
    expect(descriptor).toEqual(target)
    expect(Buffer.from(bytes).equals(MANIFEST)).toBe(true)
    expect(registry.seen.map(({ method }) => method)).toEqual(["GET"])
    registry.fault = ({ request }) => {
      const answer = { headers: headers(digestOf(OTHER), MANIFEST) }
      return request.method === "HEAD" ? new Response(null, answer) : new Response(MANIFEST, answer)
    }
    await failure(storeAt(registry.host).fetchReference("v1"), "OVM_DIGEST_MISMATCH")
    await failure(storeAt(registry.host).fetchReference(digestOf(OTHER)), "OVM_DIGEST_MISMATCH")
  })

  test("asked for by digest and answered with another", async () => {
    await using registry = startFaults(
      () => new Response(null, { headers: headers(digestOf(OTHER), MANIFEST) }),
    )
    await failure(storeAt(registry.host).resolve(target.digest), "OVM_DIGEST_MISMATCH")
    registry.fault = ({ request }) => new Response(request.method === "HEAD" ? null : OTHER)
    await failure(storeAt(registry.host).resolve(target.digest), "OVM_DIGEST_MISMATCH")
  })

  test("with a digest of another algorithm in the header is read and hashed", async () => {
    await using registry = startFaults(({ request }) => {
      const answer = { headers: headers(`sha512:${"0".repeat(128)}`, MANIFEST) }
      return request.method === "HEAD" ? new Response(null, answer) : new Response(MANIFEST, answer)
    })
    expect((await storeAt(registry.host).resolve("v1")).digest).toBe(target.digest)
  })

  test("stored under another digest than it was pushed with", async () => {
    await using registry = startFaults(({ request }) =>
      request.method === "PUT"
        ? new Response(null, { status: 201, headers: { "Docker-Content-Digest": digestOf(OTHER) } })
        : refusal(404, "MANIFEST_UNKNOWN"),
    )
    await failure(storeAt(registry.host).push(target, bytesOf(MANIFEST)), "OVM_DIGEST_MISMATCH")
  })
})

test("what a descriptor has as urls is left alone (OVMS-OCI-060)", async () => {
  const layer = text("a layer")
  await using elsewhere = startFaults(() => new Response(layer))
  const remote = { ...describeBytes(layer), urls: [`http://${elsewhere.host}/layer`] }
  const manifest = manifestOver([describeBytes(text("{}")), remote])
  await using registry = startFaults(({ request, url }) => {
    if (url.pathname.includes("/blobs/"))
      return url.pathname.endsWith(digestOf("{}")) ? new Response("{}") : refusal(404, "BLOB_UNKNOWN")
    const answer = { headers: headers(digestOf(manifest), manifest) }
    return new Response(request.method === "HEAD" ? null : manifest, answer)
  })
  await failure(copy(storeAt(registry.host), "v1", new MemoryStore()), "OVM_CONTENT_MISSING")
  expect(elsewhere.seen).toEqual([])
})

describe("redirects", () => {
  const BLOB = text("here it is")
  const blob = describeBytes(BLOB)

  test.each([301, 302, 303, 307, 308])("%i to a path of the same host is followed", async (status) => {
    await using registry = startFaults(({ url }) =>
      url.pathname === "/elsewhere"
        ? new Response(BLOB)
        : new Response(null, { status, headers: { Location: "/elsewhere" } }),
    )
    expect(await collect(storeAt(registry.host).fetch(blob))).toBe("here it is")
  })

  test("without a place to go is an error", async () => {
    await using registry = startFaults(() => new Response(null, { status: 302 }))
    await failure(storeAt(registry.host).fetch(blob), "OVM_REGISTRY_FAILED")
  })

  test("between two addresses are ended", async () => {
    await using registry = startFaults(({ url }) =>
      Response.redirect(`http://${url.host}${url.pathname === "/a" ? "/b" : "/a"}`),
    )
    await failure(storeAt(registry.host).fetch(blob), "OVM_REGISTRY_FAILED")
    expect(registry.seen.length).toBeLessThan(10)
  })

  test("to wrong bytes are found out", async () => {
    await using elsewhere = startFaults(() => new Response("here it IS"))
    await using registry = startFaults(() => Response.redirect(`http://${elsewhere.host}/x`))
    await failure(collect(storeAt(registry.host).fetch(blob)), "OVM_DIGEST_MISMATCH")
  })

  test("of a push are not followed: content goes where the upload was begun", async () => {
    await using elsewhere = startFaults(() => new Response(null, { status: 201 }))
    await using registry = startFaults(({ request }) =>
      request.method === "HEAD" ? refusal(404, "X") : Response.redirect(`http://${elsewhere.host}/x`, 307),
    )
    await failure(storeAt(registry.host).push(blob, bytesOf(BLOB)), "OVM_REGISTRY_FAILED")
    await failure(storeAt(registry.host).push(target, bytesOf(MANIFEST)), "OVM_REGISTRY_FAILED")
    expect(elsewhere.seen).toEqual([])
  })
})

test("a registry that deletes nothing says so", async () => {
  await using registry = startFaults(({ request }) =>
    request.method === "DELETE" ? refusal(405, "UNSUPPORTED") : new Response(MANIFEST),
  )
  expect((await failure(storeAt(registry.host).delete(target), "OVM_REGISTRY_FAILED")).message).toContain(
    "405",
  )
  await failure(storeAt(registry.host).untag("v1"), "OVM_REGISTRY_FAILED")
  await failure(storeAt(registry.host).untag(target.digest), "OVM_REFERENCE_INVALID")
})
