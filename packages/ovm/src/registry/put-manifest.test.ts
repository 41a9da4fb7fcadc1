import { describe, expect, test } from "bun:test"
import { type Fault, startFaults } from "@ovms/testkit/faults.ts"
import { registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { copy } from "../content/copy.ts"
import { MemoryStore } from "../content/memory.ts"
import { failure, pushImage } from "../content/store.testing.ts"
import { HttpStore } from "./http-store.ts"
import { Transport } from "./transport/transport.ts"

const LIMITS = { attempts: 3, backoffMs: 1 }

/** What Debian's docker-registry says of a manifest while another client uploads a blob of it, as it was seen. */
const torn = () =>
  Response.json(
    {
      errors: [
        { code: "DIGEST_INVALID", message: "provided digest did not match uploaded content" },
        { code: "MANIFEST_BLOB_UNKNOWN", message: "blob unknown to registry" },
      ],
    },
    { status: 400 },
  )

const refused = (times: number, answer: () => Response): Fault => {
  return ({ request, url, earlier }) =>
    request.method === "PUT" && url.pathname.includes("/manifests/") && earlier < times ? answer() : undefined
}

describe.skipIf(registryMissing !== undefined)("a manifest is put", () => {
  /** Pushes an image through a registry with `fault`; how often its manifest was put. */
  async function push(fault: Fault, ends: (pushing: Promise<unknown>) => Promise<unknown>): Promise<number> {
    await using real = await startRegistry()
    await using registry = startFaults(fault, real.host)
    const source = new MemoryStore()
    const pushed = await pushImage(source, "image", "{}", "a layer")
    await source.tag(pushed, "v1")
    const store = new HttpStore(new Transport(registry.host, { limits: LIMITS }), "put/image")
    await ends(copy(source, "v1", store, { name: "v1" }))
    return registry.seen.filter(({ method, path }) => method === "PUT" && path.includes("/manifests/")).length
  }

  test("again where the registry read its own notes while they were written", async () => {
    expect(await push(refused(2, torn), (pushing) => pushing)).toBe(3)
  })

  test("no more often than anything else", async () => {
    const ends = (pushing: Promise<unknown>) => failure(pushing, "OVM_DIGEST_MISMATCH")
    expect(await push(refused(Number.POSITIVE_INFINITY, torn), ends)).toBe(LIMITS.attempts)
  })

  test("once where the registry only lacks a blob", async () => {
    const lacking = () => Response.json({ errors: [{ code: "MANIFEST_BLOB_UNKNOWN" }] }, { status: 400 })
    const ends = (pushing: Promise<unknown>) => failure(pushing, "OVM_CONTENT_MISSING")
    expect(await push(refused(Number.POSITIVE_INFINITY, lacking), ends)).toBe(1)
  })
})
