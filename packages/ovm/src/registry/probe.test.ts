import { describe, expect, test } from "bun:test"
import { refusal, startFaults } from "@ovms/testkit/faults.ts"
import { findPeer, startRegistry } from "@ovms/testkit/registry.ts"
import { failure } from "../content/store.testing.ts"
import { HttpStore } from "./http-store.ts"
import { type Probe, probe } from "./probe.ts"
import { Transport } from "./transport/transport.ts"

const LIMITS = { attempts: 2, backoffMs: 1 }
const answers = ({ findings }: Probe) =>
  Object.fromEntries(findings.map(({ feature, answer }) => [feature, answer]))

// What these versions of real registries do: if one changes its ways, this is where it shows.
const EXPECTED = {
  "docker-registry": {
    "chunked upload": "yes",
    "ranges of blobs": "yes",
    "mount of blobs": "yes",
    "types of artifacts": "kept, byte for byte",
    "indexes with a type": "yes",
    subject: "taken, without OCI-Subject",
    "referrers API": "no (404)",
    "referrers filter": "no",
    "manifest size": "4 MiB",
    deletion: "not of tags (400)",
  },
  distribution: {
    "referrers API": "no (404)",
    subject: "taken, without OCI-Subject",
    "types of artifacts": "kept, byte for byte",
    deletion: "yes",
  },
  "ggcr-registry": {
    "referrers API": "yes, without types or annotations",
    "types of artifacts": "kept, byte for byte",
  },
} as const

for (const [program, expected] of Object.entries(EXPECTED)) {
  const missing = findPeer(program) === undefined
  if (missing) console.log(`SKIP packages/ovm/src/registry/probe.test.ts: no ${program} (make peers)`)

  test.skipIf(missing)(`what ${program} can do, and nothing is left there`, async () => {
    await using server = await startRegistry({ program: program as keyof typeof EXPECTED })
    const found = await probe(new Transport(server.host), "scratch/probe")
    expect(answers(found)).toMatchObject(expected)
    expect(found.left).toEqual([])
    const tags = new HttpStore(new Transport(server.host), "scratch/probe").tags()
    expect(await Array.fromAsync(tags).catch(() => [])).toEqual([])
  })
}

describe.skipIf(findPeer("docker-registry") === undefined)("a registry that", () => {
  test("refuses a push is no subject of a probe", async () => {
    await using registry = startFaults(() => refusal(403, "DENIED"))
    await failure(probe(new Transport(registry.host, { limits: LIMITS }), "a/b"), "OVM_REGISTRY_DENIED")
  })

  test("can do little is said to, with what ovm does and what stays behind", async () => {
    await using real = await startRegistry()
    await using poor = startFaults(async ({ request, url, forward }) => {
      if (request.method === "DELETE" || request.method === "PATCH") return refusal(405, "UNSUPPORTED")
      if (url.searchParams.has("mount")) return refusal(404, "NAME_UNKNOWN")
      if (url.pathname.endsWith("/blobs/uploads/")) {
        const answer = await forward()
        const headers = new Headers(answer.headers)
        headers.set("OCI-Chunk-Min-Length", "5242880")
        return new Response(null, { status: answer.status, headers })
      }
      if (request.headers.has("range")) {
        const answer = await fetch(`http://${real.host}${url.pathname}`)
        return new Response(await answer.arrayBuffer())
      }
      return undefined
    }, real.host)
    const found = await probe(new Transport(poor.host, { limits: LIMITS }), "scratch/probe")
    expect(answers(found)).toMatchObject({
      "chunked upload": "no (405), chunks from 5242880 bytes up",
      "ranges of blobs": "no (200)",
      "mount of blobs": "no (404)",
      deletion: "not of tags (405), manifests (405), blobs (405)",
    })
    expect(found.left.length).toBeGreaterThan(4)
    expect(found.findings.filter(({ works, consequence }) => !works && consequence === "")).toEqual([])
  })
})
