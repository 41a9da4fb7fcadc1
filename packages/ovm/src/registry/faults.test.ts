import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdtemp, readdir, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { altered, type Fault, type Passing, refusal, stalled, startFaults } from "@ovms/testkit/faults.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { copy } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import { hexOf } from "../content/digest.ts"
import { openLayout } from "../content/layout/store.ts"
import { MemoryStore } from "../content/memory.ts"
import { collect, describeBytes, failure, pushImage, text } from "../content/store.testing.ts"
import type { ErrorCode } from "../errors.ts"
import type { HttpLimits } from "./http/limits.ts"
import { HttpStore } from "./http-store.ts"
import { Transport } from "./transport/transport.ts"

const LIMITS = { attempts: 3, backoffMs: 1, longestPauseMs: 2_000 }
/** For what stops, or never begins, to come: all else has as long as by default, on a host that may be busy. */
const STALL = { ...LIMITS, stallMs: 1_000 }
const SILENCE = { ...LIMITS, responseMs: 1_000 }
const LAYER = "the content of a layer, long enough to be cut"
const REPOSITORY = "faults/image"

const isLayer = ({ request, url }: Passing) =>
  request.method === "GET" && url.pathname.includes(`/blobs/${describeBytes(text(LAYER)).digest}`)
const isManifest = ({ request, url }: Passing) =>
  request.method === "GET" && url.pathname.includes("/manifests/")

const storeAt = (host: string, limits: Partial<HttpLimits> = LIMITS) =>
  new HttpStore(new Transport(host, { limits }), REPOSITORY)

describe.skipIf(registryMissing !== undefined)("a registry with faults", () => {
  let real: RegistryServer
  let image: Descriptor
  let other: Descriptor
  beforeAll(async () => {
    real = await startRegistry()
    const store = new HttpStore(new Transport(real.host), REPOSITORY)
    image = await pushImage(store, "first", "{}", LAYER)
    other = await pushImage(store, "second", "{}", "another layer")
    await store.tag(image, "v1")
  })
  afterAll(() => real.stop())

  /** Pulls v1 through the faulty registry into an empty layout, which then has everything or no trace. */
  async function pull(
    fault: Fault,
    code?: ErrorCode,
    limits?: Partial<HttpLimits>,
  ): Promise<{ message: string; requests: number }> {
    const root = await mkdtemp(join(tmpdir(), "ovm-faults-"))
    await using registry = startFaults(fault, real.host)
    try {
      await using store = await openLayout(root, { create: true })
      const pulling = copy(storeAt(registry.host, limits), "v1", store, { name: "v1" })
      const message = code ? (await failure(pulling, code)).message : (await pulling).digest
      expect(await readdir(join(root, "ovm/ingest"))).toEqual([])
      const blobs = await readdir(join(root, "blobs/sha256"))
      expect(blobs.includes(hexOf(image.digest))).toBe(code === undefined)
      if (code) await failure(store.resolve("v1"), "OVM_NAME_UNKNOWN")
      return { message, requests: registry.seen.length }
    } finally {
      await rm(root, { recursive: true })
    }
  }

  const always = (when: (passing: Passing) => boolean, answer: (passing: Passing) => Response): Fault => {
    return (passing) => (when(passing) ? answer(passing) : undefined)
  }
  const changed = (change: (body: Uint8Array) => Uint8Array, times = Number.POSITIVE_INFINITY): Fault => {
    return async (passing) =>
      isLayer(passing) && passing.earlier < times ? altered(await passing.forward(), change) : undefined
  }

  test("without a fault", () => pull(() => undefined))

  test.each<[string, ErrorCode, () => Response]>([
    ["401", "OVM_REGISTRY_UNAUTHORIZED", () => refusal(401, "UNAUTHORIZED", { "WWW-Authenticate": "Basic" })],
    ["401 without a challenge", "OVM_REGISTRY_UNAUTHORIZED", () => refusal(401, "UNAUTHORIZED")],
    ["403", "OVM_REGISTRY_DENIED", () => refusal(403, "DENIED")],
    ["404", "OVM_CONTENT_MISSING", () => refusal(404, "BLOB_UNKNOWN")],
    ["429", "OVM_REGISTRY_THROTTLED", () => refusal(429, "TOOMANYREQUESTS")],
    [
      "429 for an hour",
      "OVM_REGISTRY_THROTTLED",
      () => refusal(429, "TOOMANYREQUESTS", { "Retry-After": "3600" }),
    ],
    ["500", "OVM_REGISTRY_FAILED", () => refusal(500, "UNKNOWN")],
    [
      "503 with a page",
      "OVM_REGISTRY_FAILED",
      () => new Response("<html>\u001b[31m".repeat(99), { status: 503 }),
    ],
    ["418", "OVM_REGISTRY_FAILED", () => refusal(418, "TEAPOT")],
  ])("a layer answered with %s", async (name, code, answer) => {
    const { message } = await pull(always(isLayer, answer), code)
    expect(message).toContain(describeBytes(text(LAYER)).digest)
    expect(message).toContain(name.slice(0, 3))
    expect(message).not.toContain("\u001b")
  })

  test("a name that nobody knows", async () => {
    const fault = always(
      ({ url }) => url.pathname.endsWith("/v1"),
      () => refusal(404, "MANIFEST_UNKNOWN"),
    )
    expect((await pull(fault, "OVM_NAME_UNKNOWN")).message).toContain(`${REPOSITORY}:v1`)
  })

  test.each<[string, (earlier: number) => Response | undefined]>([
    ["500", (earlier) => (earlier < 2 ? refusal(500, "UNKNOWN") : undefined)],
    ["429", (earlier) => (earlier < 1 ? refusal(429, "X", { "Retry-After": "0" }) : undefined)],
    ["408", (earlier) => (earlier < 1 ? refusal(408, "X") : undefined)],
  ])("a burst of %s is got over", (_, answer) =>
    pull((passing) => (isLayer(passing) || isManifest(passing) ? answer(passing.earlier) : undefined)).then(
      () => {},
    ),
  )

  test.each([
    ["for good", Number.POSITIVE_INFINITY, "OVM_REGISTRY_TIMEOUT"],
    ["once", 1, undefined],
  ] as const)("a manifest that stops in the middle, %s", async (_, times, code) => {
    const fault: Fault = async (passing) =>
      isManifest(passing) && passing.earlier < times ? stalled(await passing.forward(), 9) : undefined
    const { message } = await pull(fault, code, STALL)
    if (code) expect(message).toContain("nothing came for")
  })
  test("a layer that is cut short, for good", async () => {
    await pull(
      changed((body) => body.subarray(0, 9)),
      "OVM_SIZE_MISMATCH",
    )
  })
  test("a layer that is cut short once", async () => {
    await pull(changed((body) => body.subarray(0, 9), 1))
  })
  test("a layer that is cut short, then another one", async () => {
    const fault: Fault = async (passing) => {
      if (!isLayer(passing)) return undefined
      const change =
        passing.earlier === 0 ? (b: Uint8Array) => b.subarray(0, 9) : (b: Uint8Array) => b.fill(65, 10)
      return altered(await passing.forward(), change)
    }
    await pull(fault, "OVM_DIGEST_MISMATCH")
  })
  test("a layer that is longer", async () => {
    await pull(
      changed((body) => Buffer.concat([body, text("!")])),
      "OVM_SIZE_MISMATCH",
    )
  })
  test("a layer with a flipped bit", async () => {
    await pull(
      changed((body) => body.with(3, (body[3] ?? 0) ^ 1)),
      "OVM_DIGEST_MISMATCH",
    )
  })
  test("a layer with another Content-Length", async () => {
    await pull(
      always(isLayer, () => new Response("short")),
      "OVM_SIZE_MISMATCH",
    )
  })
  test("a layer that claims to be compressed on the way is taken as it came", async () => {
    const fault: Fault = async (passing) => {
      if (!isLayer(passing)) return undefined
      const answer = await passing.forward()
      return new Response(await answer.arrayBuffer(), { headers: { "Content-Encoding": "gzip" } })
    }
    await pull(fault)
  })
  test("a layer that stops coming", async () => {
    const fault: Fault = async (passing) =>
      isLayer(passing) ? stalled(await passing.forward(), 9) : undefined
    const { message } = await pull(fault, "OVM_REGISTRY_TIMEOUT", STALL)
    expect(message).toContain(describeBytes(text(LAYER)).digest)
  })
  test("an answer that never begins", async () => {
    const fault: Fault = (passing) => (isLayer(passing) ? new Promise<Response>(() => {}) : undefined)
    const { message } = await pull(fault, "OVM_REGISTRY_TIMEOUT", SILENCE)
    expect(message).toContain(describeBytes(text(LAYER)).digest)
  })

  test("a manifest that is not the one of its digest", async () => {
    const fault: Fault = async (passing) =>
      isManifest(passing) ? altered(await passing.forward(), () => text('{"schemaVersion":2}')) : undefined
    await pull(fault, "OVM_SIZE_MISMATCH")
  })
  test("a manifest above 4 MiB", async () => {
    const headers = {
      "Content-Type": image.mediaType,
      "Docker-Content-Digest": image.digest,
      "Content-Length": "5000000",
    }
    await pull(
      always(
        ({ request }) => request.method === "HEAD",
        () => new Response(null, { headers }),
      ),
      "OVM_TOO_LARGE",
    )
  })

  test("a tag that moves between two requests gives its first meaning", async () => {
    const mover = new HttpStore(new Transport(real.host), REPOSITORY)
    await mover.tag(image, "moving")
    const fault: Fault = async ({ url, forward }) => {
      if (!url.pathname.endsWith("/moving")) return undefined
      const answer = await forward()
      await mover.tag(other, "moving")
      return answer
    }
    await using registry = startFaults(fault, real.host)
    const destination = new MemoryStore()
    expect((await copy(storeAt(registry.host), "moving", destination, { name: "v1" })).digest).toBe(
      image.digest,
    )
    expect(await collect(destination.fetch(describeBytes(text(LAYER))))).toBe(LAYER)
    expect(await destination.exists(other)).toBe(false)
  })

  test("HEAD without a digest, or not allowed, is made up for by GET", async () => {
    const silent = () => new Response(null, { headers: { "Content-Type": image.mediaType } })
    await pull(
      always(({ request, url }) => request.method === "HEAD" && url.pathname.endsWith("/v1"), silent),
    )
  })

  test("a push survives a failure half way, and one that fails leaves no manifest", async () => {
    const source = new MemoryStore()
    const pushed = await pushImage(source, "pushed", "{}", "pushed layer")
    await source.tag(pushed, "v1")
    const isPut = ({ request, url }: Passing) =>
      request.method === "PUT" && url.pathname.includes("/uploads/")
    let failures = 2
    await using registry = startFaults(
      (passing) => (isPut(passing) && failures-- > 0 ? refusal(500, "UNKNOWN") : undefined),
      real.host,
    )
    await copy(source, "v1", storeAt(registry.host), { name: "pushed" })
    expect((await storeAt(real.host).resolve("pushed")).digest).toBe(pushed.digest)

    registry.fault = (passing) => (isPut(passing) ? refusal(403, "DENIED") : undefined)
    const next = await pushImage(source, "next", "{}", "next layer")
    await source.tag(next, "v2")
    await failure(copy(source, "v2", storeAt(registry.host), { name: "next" }), "OVM_REGISTRY_DENIED")
    await failure(storeAt(real.host).resolve("next"), "OVM_NAME_UNKNOWN")
    expect(registry.seen.some(({ method }) => method === "DELETE")).toBe(true)
  })

  test("a mount moves no bytes, and one that cannot be done becomes an upload", async () => {
    await using registry = startFaults(() => undefined, real.host)
    const target = new HttpStore(new Transport(registry.host, { limits: LIMITS }), "faults/mounted")
    await copy(storeAt(registry.host), "v1", target, { name: "v1", mountFrom: REPOSITORY })
    expect(
      registry.seen.filter(({ method }) => method === "PUT").map(({ path }) => path.split("/")[4]),
    ).toEqual(["manifests"])
    const source = new MemoryStore()
    await source.tag(await pushImage(source, "unmounted", "{}", "not in the other"), "v1")
    await copy(source, "v1", target, { name: "v2", mountFrom: REPOSITORY })
    expect((await Array.fromAsync(target.tags())).toSorted()).toEqual(["v1", "v2"])
  })
})

test("nobody listens", async () => {
  const error = await failure(storeAt("127.0.0.1:1").resolve("v1"), "OVM_REGISTRY_UNREACHABLE")
  expect(error.message).toContain("127.0.0.1:1")
})

test("connections that are cut in the middle", async () => {
  let connections = 0
  const server = createServer((socket) => {
    connections++
    socket.on("error", () => {})
    socket.once("data", () =>
      socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${LAYER.length}\r\n\r\n${LAYER.slice(0, 9)}`),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    const address = server.address()
    const host = `127.0.0.1:${typeof address === "object" ? address?.port : 0}`
    await failure(collect(storeAt(host).fetch(describeBytes(text(LAYER)))), "OVM_REGISTRY_UNREACHABLE")
    expect(connections).toBe(LIMITS.attempts)
  } finally {
    server.close()
  }
})

test("tags come page by page", async () => {
  await using registry = startFaults(({ url }) => {
    if (url.searchParams.has("last")) return Response.json({ tags: ["c"] })
    const Link = `</v2/${REPOSITORY}/tags/list?last=b>; rel="next"`
    return Response.json({ tags: ["a", "b", "-not a tag"] }, { headers: { Link } })
  })
  expect(await Array.fromAsync(storeAt(registry.host).tags())).toEqual(["a", "b", "c"])
  registry.fault = () => Response.json({ tags: "all" })
  await failure(Array.fromAsync(storeAt(registry.host).tags()), "OVM_REGISTRY_FAILED")
})
