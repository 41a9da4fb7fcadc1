import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import {
  altered,
  dripping,
  type Fault,
  type FaultyRegistry,
  type Passing,
  refusal,
  startFaults,
} from "@ovms/testkit/faults.ts"
import { startPipe } from "@ovms/testkit/pipe.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { copyGraph } from "../../content/copy.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { hexOf } from "../../content/digest.ts"
import { collectGarbage } from "../../content/layout/gc.ts"
import { openLayout } from "../../content/layout/store.ts"
import { failure, pushBytes } from "../../content/store.testing.ts"
import type { ErrorCode } from "../../errors.ts"
import type { HttpLimits } from "../http/limits.ts"
import { HttpStore } from "../http-store.ts"
import { Transport } from "../transport/transport.ts"

const PIECE = 64 * 1024
const PIECES = 16
const BYTES = randomBytes(PIECE * PIECES - 100)
const REPOSITORY = "ranges/image"
const LIMITS = {
  attempts: 3,
  backoffMs: 1,
  longestPauseMs: 2_000,
  rangeBytes: PIECE,
}
/** For what comes too slowly: all else has as long as by default, on a host that may be busy. */
const TRICKLE = { ...LIMITS, rateMs: 500, slowestDownload: 2_000 }

const isBlob = ({ request, url }: Passing) => request.method === "GET" && url.pathname.includes("/blobs/")
const rangeOf = ({ request }: Passing) => request.headers.get("range")
const firstByte = (passing: Passing) => Number(/=(\d+)/.exec(rangeOf(passing) ?? "=0")?.[1])

const WAYS = [
  { way: "by threads of our own", direct: true },
  { way: "by fetch", direct: false },
]

describe.skipIf(registryMissing !== undefined).each(WAYS)("a large blob $way", ({ direct }) => {
  const storeAt = (host: string, limits: Partial<HttpLimits>) =>
    new HttpStore(new Transport(host, { limits, direct }), REPOSITORY)
  /** Pieces that a thread was refused are asked for once more in the usual way; so many at a time. */
  const repeated = direct ? 3 : 0
  let real: RegistryServer
  let blob: Descriptor
  beforeAll(async () => {
    real = await startRegistry()
    blob = await pushBytes(new HttpStore(new Transport(real.host), REPOSITORY), BYTES)
  })
  afterAll(() => real.stop())

  async function inLayout(run: (root: string) => Promise<void>): Promise<void> {
    const root = await mkdtemp(join(tmpdir(), "ovm-ranged-"))
    try {
      await (await openLayout(root, { create: true })).close()
      await run(root)
    } finally {
      await rm(root, { recursive: true })
    }
  }

  interface Pull {
    readonly signal?: AbortSignal
    readonly limits?: Partial<HttpLimits>
  }
  async function pull(root: string, host: string, { limits = LIMITS, ...more }: Pull = {}): Promise<void> {
    await using store = await openLayout(root, { durable: false })
    await copyGraph(storeAt(host, limits), blob, store, { largeBytes: 1, ...more })
  }

  async function expectWhole(root: string): Promise<void> {
    expect(BYTES.equals(await readFile(join(root, "blobs/sha256", hexOf(blob.digest))))).toBe(true)
    expect(await readdir(join(root, "ovm/ingest"))).toEqual([])
  }

  /** Pulls through a faulty registry: everything, or an error with `code` and no blob. Returns the ranges asked for. */
  async function through(fault: Fault, code?: ErrorCode, how: Pull = {}): Promise<(string | null)[]> {
    await using registry = startFaults(fault, real.host)
    await inLayout(async (root) => {
      if (code === undefined) {
        await pull(root, registry.host, how)
        return expectWhole(root)
      }
      const error = await failure(pull(root, registry.host, how), code)
      expect(error.message).toContain(blob.digest)
      if (code === "OVM_REGISTRY_TIMEOUT") expect(error.message).toContain(registry.host)
      expect(await readdir(join(root, "blobs/sha256"))).toEqual([])
    })
    return rangesIn(registry)
  }

  const rangesIn = ({ seen }: FaultyRegistry) =>
    seen.filter(({ method, path }) => method === "GET" && path.includes("/blobs/")).map(({ range }) => range)

  const answering = (answer: (passing: Passing) => Response | Promise<Response> | undefined): Fault => {
    return (passing) => (isBlob(passing) && rangeOf(passing) !== null ? answer(passing) : undefined)
  }
  const later = (passing: Passing) => firstByte(passing) >= 3 * PIECE

  // OVMS-DST-011
  test("comes in pieces, each asked for once", async () => {
    const ranges = await through(() => undefined)
    expect(ranges).toHaveLength(PIECES)
    expect(new Set(ranges).size).toBe(PIECES)
    expect(ranges).toContain(`bytes=${15 * PIECE}-${BYTES.byteLength - 1}`)
  })

  const headed = (headers: Record<string, string>) => async (passing: Passing) => {
    const answer = await passing.forward()
    return new Response(await answer.arrayBuffer(), {
      status: answer.status,
      headers: { ...Object.fromEntries(answer.headers), ...headers },
    })
  }
  const body = (change: (bytes: Uint8Array) => Uint8Array) => async (passing: Passing) =>
    altered(await passing.forward(), change)

  // OVMS-SNP-065, OVMS-DST-011
  test.each<[string, Fault]>([
    ["ignores ranges", answering(({ forward }) => forward({ range: "" }))],
    ["refuses ranges", answering(() => refusal(416, "RANGE"))],
    [
      "sends another range",
      answering(headed({ "Content-Range": `bytes 5-${PIECE + 4}/${BYTES.byteLength}` })),
    ],
    ["says nothing of the range", answering(headed({ "Content-Range": "" }))],
    ["says another size", answering(headed({ "Content-Range": `bytes 0-${PIECE - 1}/${PIECE}` }))],
    ["sends more than the range", answering(body((bytes) => Buffer.concat([bytes, bytes])))],
    ["ignores ranges from the third on", answering((p) => (later(p) ? p.forward({ range: "" }) : undefined))],
    ["changes the ETag", answering((p) => (later(p) ? headed({ ETag: '"other"' })(p) : undefined))],
    ["changes the blob", answering((p) => (later(p) ? body((bytes) => bytes.fill(1))(p) : undefined))],
  ])("of a registry that %s comes in one stream instead", async (_, fault) => {
    const ranges = await through(fault)
    expect(ranges.filter((range) => range === null).length).toBeLessThanOrEqual(1)
    expect(ranges.length).toBeLessThanOrEqual(PIECES + 1 + repeated)
  })

  const once = (fault: (passing: Passing) => Response | Promise<Response>): Fault => {
    const struck = new Set<number>()
    return answering((passing) => {
      if (struck.has(firstByte(passing)) || struck.size > 2) return undefined
      struck.add(firstByte(passing))
      return fault(passing)
    })
  }
  test.each<[string, Fault]>([
    ["500", once(() => refusal(500, "UNKNOWN"))],
    ["429", once(() => refusal(429, "TOOMANYREQUESTS", { "Retry-After": "0" }))],
    ["a truncated range", once(body((bytes) => bytes.subarray(0, 1000)))],
    ["a trickle", once(async ({ forward }) => dripping(await forward(), 20))],
  ])("survives %s now and then", async (_, fault) => {
    await through(fault, undefined, { limits: TRICKLE })
  })

  test.each<[string, ErrorCode, Fault]>([
    ["ever truncated", "OVM_SIZE_MISMATCH", answering(body((bytes) => bytes.subarray(0, 9)))],
    ["ever throttled", "OVM_REGISTRY_THROTTLED", answering(() => refusal(429, "TOOMANYREQUESTS"))],
    ["a trickle", "OVM_REGISTRY_TIMEOUT", answering(async ({ forward }) => dripping(await forward(), 50))],
    [
      "forbidden half way",
      "OVM_REGISTRY_DENIED",
      answering((p) => (later(p) ? refusal(403, "DENIED") : undefined)),
    ],
  ])("%s fails in the end", async (_, code, fault) => {
    await through(fault, code, { limits: TRICKLE })
  })

  test.each<[string, ErrorCode, (bytes: Uint8Array) => Uint8Array]>([
    ["with a flipped bit", "OVM_DIGEST_MISMATCH", (bytes) => bytes.with(7, (bytes[7] ?? 0) ^ 1)],
    ["with one byte more", "OVM_SIZE_MISMATCH", (bytes) => Buffer.concat([bytes, Buffer.of(0)])],
    ["compressed on its way", "OVM_SIZE_MISMATCH", (bytes) => gzipSync(bytes)],
  ])("%s whatever is asked is refused", async (_, code, change) => {
    const fault: Fault = async (p) => (isBlob(p) ? altered(await p.forward(), change) : undefined)
    const ranges = await through(fault, code)
    expect(ranges.length).toBeLessThanOrEqual(PIECES + LIMITS.attempts + repeated)
  })

  test("is gone on with where it was broken off, and the rest is asked for once", () =>
    inLayout(async (root) => {
      await using registry = startFaults(
        answering((passing) => (firstByte(passing) >= 9 * PIECE ? refusal(403, "DENIED") : undefined)),
        real.host,
      )
      await failure(pull(root, registry.host), "OVM_REGISTRY_DENIED")
      const hex = hexOf(blob.digest)
      expect((await readdir(join(root, "ovm/ingest"))).sort()).toEqual([`${hex}.extents`, `${hex}.partial`])
      await collectGarbage(root)
      registry.fault = () => undefined
      const before = rangesIn(registry).length
      await pull(root, registry.host)
      await expectWhole(root)
      const ranges = rangesIn(registry).slice(before)
      expect(ranges.length).toBeLessThanOrEqual(PIECES - 5)
      expect(ranges).not.toContain(`bytes=0-${PIECE - 1}`)
    }))

  test("is gone on with by the second when the first was cancelled, and both at once succeed", () =>
    inLayout(async (root) => {
      const stop = new AbortController()
      await using registry = startFaults(
        answering((passing) => {
          if (later(passing)) stop.abort()
          return undefined
        }),
        real.host,
      )
      await failure(pull(root, registry.host, { signal: stop.signal }), "OVM_INTERRUPTED")
      registry.fault = () => undefined
      await Promise.all([pull(root, registry.host), pull(root, registry.host)])
      await expectWhole(root)
    }))

  test("costs next to nothing more when its connections are cut again and again", () =>
    inLayout(async (root) => {
      await using pipe = await startPipe(real.host)
      // Every connection but the last ones ends in the middle of something.
      pipe.mishap = (connection) => (connection < 5 ? { cutAfter: 150_000 + connection * 7_000 } : {})
      for (let attempt = 0; attempt < 5; attempt++)
        if (
          await pull(root, pipe.host).then(
            () => true,
            () => false,
          )
        )
          break
      await expectWhole(root)
      expect(pipe.down).toBeLessThan(BYTES.byteLength * 1.5)
    }))

  test("a redirect is followed once, and again when its address has expired", async () => {
    let storage = ""
    let expired = false
    await using front = startFaults(async (passing) => {
      if (!isBlob(passing)) return undefined
      return Response.redirect(`http://${storage}${passing.url.pathname}?ticket=${expired ? 2 : 1}`, 307)
    }, real.host)
    await using back = startFaults((passing) => {
      expired ||= later(passing)
      return expired && passing.url.search === "?ticket=1" ? refusal(403, "EXPIRED") : undefined
    }, real.host)
    storage = back.host
    await inLayout(async (root) => {
      await pull(root, front.host)
      await expectWhole(root)
    })
    expect(rangesIn(front).length).toBeLessThan(PIECES)
  })
})
