import { expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Fault, refusal, startFaults } from "@ovms/testkit/faults.ts"
import { startPipe } from "@ovms/testkit/pipe.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { describeBytes, failure } from "../../content/store.testing.ts"
import type { ErrorCode } from "../../errors.ts"
import { HttpStore } from "../http-store.ts"
import { Transport, type TransportOptions } from "../transport/transport.ts"

const BYTES = randomBytes(1_000_003)
const LIMITS = { attempts: 3, backoffMs: 1, longestPauseMs: 500, responseMs: 3_000, stallMs: 1_000 }

interface Rules {
  readonly leastChunk?: number
  /** Larger bodies get 413. */
  readonly largest?: number
  /** The first chunk that begins at or after this byte is forgotten, and the next one is out of step. */
  readonly forgetAt?: number
  /** Every chunk is forgotten. */
  readonly deaf?: boolean
}

/** The uploading half of a registry as the distribution-spec has it, in memory: no real one has all of these rules. */
class Uploads {
  readonly requests: string[] = []
  content: Buffer<ArrayBufferLike> = Buffer.alloc(0)
  blob: Buffer<ArrayBufferLike> | undefined
  #forgets = true

  constructor(readonly rules: Rules = {}) {}

  readonly answer: Fault = async ({ request, url }) => {
    const { method } = request
    if (method === "HEAD") return new Response(null, { status: 404 })
    this.requests.push(`${method} ${request.headers.get("content-range") ?? ""}`.trim())
    const { leastChunk, largest = Infinity } = this.rules
    if (method === "POST") {
      this.content = Buffer.alloc(0)
      const headers = leastChunk ? { "OCI-Chunk-Min-Length": `${leastChunk}` } : {}
      return new Response(null, {
        status: 202,
        headers: { Location: `${url.pathname}1?state=a%2Fb`, ...headers },
      })
    }
    expect(url.searchParams.get("state")).toBe("a/b")
    if (method === "GET") return this.#progress(204)
    if (method === "DELETE") return new Response(null, { status: 204 })
    if (Number(request.headers.get("content-length")) > largest) return refusal(413, "SIZE_INVALID")
    return method === "PATCH" ? this.#patch(request) : this.#put(request, url)
  }

  async #patch(request: Request): Promise<Response> {
    const [start, end] = (request.headers.get("content-range") ?? "").split("-").map(Number)
    const body = Buffer.from(await request.arrayBuffer())
    expect(body.byteLength).toBe((end ?? 0) - (start ?? 0) + 1)
    if (this.rules.deaf) return refusal(416, "RANGE_INVALID")
    if (start !== this.content.byteLength) return refusal(416, "RANGE_INVALID")
    if (this.#forgets && (start ?? 0) >= (this.rules.forgetAt ?? Infinity)) {
      this.#forgets = false
      return new Response(null, { status: 202, headers: { Location: request.url } })
    }
    this.content = Buffer.concat([this.content, body])
    return this.#progress(202)
  }

  async #put(request: Request, url: URL): Promise<Response> {
    // As far as it comes, as registries keep it: the connection may break in the middle.
    try {
      for await (const chunk of request.body ?? []) this.content = Buffer.concat([this.content, chunk])
    } catch {
      return refusal(500, "UNKNOWN")
    }
    if (url.searchParams.get("digest") !== digestOf(this.content)) return refusal(400, "DIGEST_INVALID")
    this.blob = this.content
    return new Response(null, { status: 201 })
  }

  #progress(status: number): Response {
    const last = Math.max(0, this.content.byteLength - 1)
    return new Response(null, {
      status,
      headers: { Range: `0-${last}`, Location: "/v2/up/blobs/uploads/1?state=a%2Fb" },
    })
  }
}

async function send(uploads: Uploads, host: string, options: TransportOptions = {}): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-upload-"))
  const steps: number[] = []
  try {
    const path = join(folder, "blob")
    await writeFile(path, BYTES)
    const store = new HttpStore(new Transport(host, { limits: LIMITS, ...options }), "up")
    await store.pushFile(describeBytes(BYTES), path, { onBytes: (done) => steps.push(done) })
    expect(uploads.blob?.equals(BYTES)).toBe(true)
    return steps
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function upload(rules: Rules, options: TransportOptions = {}, code?: ErrorCode): Promise<string[]> {
  const uploads = new Uploads(rules)
  await using registry = startFaults(uploads.answer)
  if (code === undefined) await send(uploads, registry.host, options)
  else {
    const error = await failure(send(uploads, registry.host, options), code)
    expect(error.message).toContain((describeBytes(BYTES) as Descriptor).digest)
  }
  return uploads.requests
}

test("goes in one piece where nothing is said", async () => {
  expect(await upload({})).toEqual(["POST", "PUT"])
})

test("goes in chunks where the operator says so, and tells how far it is", async () => {
  const uploads = new Uploads()
  await using registry = startFaults(uploads.answer)
  expect(await send(uploads, registry.host, { chunkBytes: 400_000 })).toEqual([
    400_000,
    800_000,
    BYTES.byteLength,
  ])
  expect(uploads.requests).toEqual([
    "POST",
    "PATCH 0-399999",
    "PATCH 400000-799999",
    "PATCH 800000-1000002",
    "PUT",
  ])
})

test("chunks are not smaller than the registry takes", async () => {
  expect(await upload({ leastChunk: 600_000 }, { chunkBytes: 1000 })).toEqual([
    "POST",
    "PATCH 0-599999",
    "PATCH 600000-1000002",
    "PUT",
  ])
  expect(await upload({ leastChunk: 600_000 })).toEqual(["POST", "PATCH 0-1000002", "PUT"])
})

test("413 makes chunks of it, and smaller ones until they fit", async () => {
  const requests = await upload({ largest: 300_000 })
  expect(requests.slice(0, 2)).toEqual(["POST", "PUT"])
  expect(requests).toContain("PATCH 0-262143")
  expect(requests.at(-1)).toBe("PUT")
})

test("413 for the least chunk is the end", () =>
  upload({ leastChunk: 2_000, largest: 1_000 }, {}, "OVM_TOO_LARGE"))

test("416 is recovered from by asking where to go on", async () => {
  const requests = await upload({ forgetAt: 400_000 }, { chunkBytes: 400_000 })
  expect(requests).toEqual([
    "POST",
    "PATCH 0-399999",
    "PATCH 400000-799999",
    "PATCH 800000-1000002",
    "GET",
    "PATCH 400000-799999",
    "PATCH 800000-1000002",
    "PUT",
  ])
})

test("416 for ever is an error after a few attempts", async () => {
  const requests = await upload({ deaf: true }, { chunkBytes: 400_000 }, "OVM_REGISTRY_FAILED")
  expect(requests.length).toBeLessThanOrEqual(3 * 3 * 2 + 6)
})

test("a broken connection goes on where the registry says that it ended", async () => {
  const uploads = new Uploads()
  await using registry = startFaults(uploads.answer)
  await using pipe = await startPipe(registry.host)
  let cuts = 1
  pipe.mishap = () => (cuts-- > 0 ? { cutAfter: 500_000 } : {})
  await send(uploads, pipe.host)
  expect(uploads.requests.filter((request) => request === "POST")).toHaveLength(1)
  expect(uploads.requests.some((request) => /^PATCH [1-9]/.test(request))).toBe(true)
  expect(pipe.up).toBeLessThan(BYTES.byteLength * 1.2)
})
