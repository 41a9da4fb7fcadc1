import { describe, expect, test } from "bun:test"
import { type Fault, refusal, startFaults } from "@ovms/testkit/faults.ts"
import { findPeer, startRegistry } from "@ovms/testkit/registry.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { OCI_INDEX, OCI_MANIFEST } from "../../content/manifest.ts"
import { bytesOf } from "../../content/read.ts"
import {
  describeBytes,
  failure,
  manifestOver,
  pushBytes,
  pushReferrer,
  text,
} from "../../content/store.testing.ts"
import { HttpStore } from "../http-store.ts"
import { Transport } from "../transport/transport.ts"
import { fallbackTag } from "./referrers.ts"

// Debian's docker-registry answers 400 for as long as another push has a note of its open (put-manifest.ts): on a busy
// host that outlasts a pause of a millisecond.
const LIMITS = { attempts: 5, backoffMs: 50, responseMs: 5_000, stallMs: 2_000 }
const SUBJECT: Descriptor = { mediaType: OCI_MANIFEST, digest: digestOf("subject"), size: 7 }
const storeAt = (host: string) => new HttpStore(new Transport(host, { limits: LIMITS }), "a/b")
const listAt = (host: string, artifactType?: string) =>
  Array.fromAsync(storeAt(host).referrers(SUBJECT, artifactType === undefined ? {} : { artifactType }))

const entry = (name: string, more: object = {}) => ({
  mediaType: OCI_MANIFEST,
  digest: digestOf(name),
  size: name.length,
  artifactType: "application/x.a",
  annotations: { name },
  ...more,
})
const index = (manifests: readonly object[], headers: Record<string, string> = {}) =>
  new Response(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }), {
    headers: { "Content-Type": OCI_INDEX, ...headers },
  })
const isApi = (url: URL) => url.pathname.includes("/referrers/")
const isTag = (url: URL) => url.pathname.endsWith(`/manifests/${fallbackTag(SUBJECT.digest)}`)

describe("reading", () => {
  // OVMS-DST-012
  test("page by page, each entry once, filtered here where the registry does not", async () => {
    const other = entry("c", { artifactType: "application/x.b" })
    await using registry = startFaults(({ url }) => {
      if (url.searchParams.has("last")) return index([entry("b"), entry("a"), other])
      const Link = `<${url.pathname}?last=1>; rel="next"`
      return index([entry("a")], { Link })
    })
    expect(await listAt(registry.host)).toEqual([entry("a"), entry("b"), other])
    expect(await listAt(registry.host, "application/x.a")).toEqual([entry("a"), entry("b")])
    expect(registry.seen.at(-2)?.path).toContain("?artifactType=application%2Fx.a")
  })

  test.each<[string, () => Response]>([
    ["404", () => refusal(404, "NAME_UNKNOWN")],
    ["404 in plain text", () => new Response("404 page not found\n", { status: 404 })],
    ["405", () => refusal(405, "UNSUPPORTED")],
    ["400", () => refusal(400, "UNSUPPORTED")],
    ["a web page", () => new Response("<html>", { headers: { "Content-Type": "text/html" } })],
    ["another document", () => Response.json({ hello: 1 })],
  ])("the API answered with %s means the fallback tag", async (_, answer) => {
    await using registry = startFaults(({ url }) =>
      isApi(url) ? answer() : isTag(url) ? index([entry("a")]) : undefined,
    )
    expect(await listAt(registry.host)).toEqual([entry("a")])
    await using none = startFaults(({ url }) => (isApi(url) ? answer() : undefined))
    expect(await listAt(none.host)).toEqual([])
  })

  test("500 and 403 are errors, not an empty list", async () => {
    await using registry = startFaults(() => refusal(500, "UNKNOWN"))
    await failure(listAt(registry.host), "OVM_REGISTRY_FAILED")
    registry.fault = () => refusal(403, "DENIED")
    await failure(listAt(registry.host), "OVM_REGISTRY_DENIED")
  })

  test("a fallback tag that is no index", async () => {
    await using registry = startFaults(({ url }) => (isTag(url) ? Response.json([1]) : undefined))
    const error = await failure(listAt(registry.host), "OVM_REGISTRY_FAILED")
    expect(error.message).toContain(fallbackTag(SUBJECT.digest))
  })

  // OVMS-DST-013
  test("entries without type or annotations are read; those that are gone or of others are left out", async () => {
    const bytes = manifestOver([], "read", { artifactType: "application/x.read", subject: SUBJECT })
    const foreign = manifestOver([], "foreign", { subject: { ...SUBJECT, digest: digestOf("other") } })
    const bare = (target: Descriptor) => ({
      mediaType: OCI_MANIFEST,
      digest: target.digest,
      size: target.size,
    })
    const read = describeBytes(bytes, OCI_MANIFEST)
    const list = [read, describeBytes(foreign), describeBytes(text("gone"))].map(bare)
    await using registry = startFaults(({ url }) => {
      if (isTag(url)) return index(list)
      if (url.pathname.endsWith(read.digest)) return new Response(bytes)
      return url.pathname.endsWith(digestOf(foreign)) ? new Response(foreign) : undefined
    })
    const expected = [{ ...read, artifactType: "application/x.read", annotations: { note: "read" } }]
    expect(await listAt(registry.host)).toEqual(expected)
    expect(await listAt(registry.host, "application/x.read")).toEqual(expected)
  })

  test("10,000 entries, by the API and by the fallback tag", async () => {
    const many = Array.from({ length: 10_000 }, (_, at) => entry(`entry ${at}`))
    await using registry = startFaults(() => index(many))
    expect(await listAt(registry.host)).toHaveLength(10_000)
    registry.fault = ({ url }) => (isTag(url) ? index(many) : undefined)
    expect(await listAt(registry.host)).toHaveLength(10_000)
    expect(registry.seen.length).toBeLessThan(5)
  })

  test("10,000 entries that would have to be read one by one", async () => {
    const many = Array.from({ length: 10_000 }, (_, at) => entry(`entry ${at}`, { artifactType: undefined }))
    await using registry = startFaults(({ url }) => (isTag(url) ? index(many) : undefined))
    const error = await failure(listAt(registry.host), "OVM_TOO_LARGE")
    expect(error.message).toContain("artifactType")
    expect(registry.seen.length).toBeLessThan(1100)
  })

  test("a list without an end is cut, and so is one that goes round", async () => {
    const forward: Fault = ({ url }) => {
      const page = Number(url.searchParams.get("page") ?? 0)
      return index([entry(`${page}`)], { Link: `<${url.pathname}?page=${page + 1}>; rel="next"` })
    }
    await using registry = startFaults(forward)
    expect((await failure(listAt(registry.host), "OVM_REGISTRY_FAILED")).message).toContain("no end")
    expect(registry.seen.length).toBeLessThan(1010)
    registry.fault = ({ url }) => index([], { Link: `<${url.pathname}?again=1>; rel="next"` })
    expect((await failure(listAt(registry.host), "OVM_REGISTRY_FAILED")).message).toContain("no end")
    const round: Fault = ({ url }) =>
      Response.json({ tags: ["a"] }, { headers: { Link: `<${url.pathname}>; rel=next` } })
    await using tags = startFaults(round)
    const error = await failure(Array.fromAsync(storeAt(tags.host).tags()), "OVM_REGISTRY_FAILED")
    expect(error.message).toContain("the tags of a/b")
    expect(tags.seen.length).toBeLessThan(5)
  })

  test("a list of more than 32 MiB", async () => {
    const padding = "x".repeat(40 * 1024 * 1024)
    await using registry = startFaults(() => index([entry("a", { annotations: { padding } })]))
    await failure(listAt(registry.host), "OVM_TOO_LARGE")
  })
})

const program = "docker-registry"
const missing = findPeer(program) === undefined
if (missing)
  console.log(`SKIP packages/ovm/src/registry/referrers/referrers.test.ts: no ${program} (make peers)`)

describe.skipIf(missing)("writing the fallback tag", () => {
  test("many writers that do not know of each other lose no entry", async () => {
    await using real = await startRegistry({ program })
    // Two ways to one registry: writers of one host name in one process would wait for each other.
    await using other = startFaults(() => undefined, real.host)
    await using third = startFaults(() => undefined, real.host)
    const stores = [real, other, third].map(({ host }) => storeAt(host))
    const config = await pushBytes(storeAt(real.host), text("{}"), "application/vnd.oci.empty.v1+json")
    const pushed = await Promise.all(
      Array.from({ length: 12 }, async (_, at) => {
        const store = stores[at % 3] ?? storeAt(real.host)
        const manifest = manifestOver([config], `${at}`, {
          artifactType: "application/x.a",
          subject: SUBJECT,
        })
        return pushBytes(store, manifest, OCI_MANIFEST)
      }),
    )
    const listed = await Array.fromAsync(storeAt(real.host).referrers(SUBJECT))
    expect(listed.map(({ digest }) => digest).sort()).toEqual(pushed.map(({ digest }) => digest).sort())
  })

  test("nor do they where the registry takes long to take the list", async () => {
    await using real = await startRegistry({ program })
    const slow: Fault = async ({ request, url, forward }) => {
      if (request.method !== "PUT" || !isTag(url)) return undefined
      await Bun.sleep(250)
      return await forward()
    }
    await using one = startFaults(slow, real.host)
    await using other = startFaults(slow, real.host)
    const pushed = await Promise.all(
      [one, other].flatMap(({ host }) =>
        ["a", "b"].map((what) => pushReferrer(storeAt(host), SUBJECT, "application/x.a", `${what} ${host}`)),
      ),
    )
    const listed = await Array.fromAsync(storeAt(real.host).referrers(SUBJECT))
    expect(listed.map(({ digest }) => digest).sort()).toEqual(pushed.map(({ digest }) => digest).sort())
  })

  // OVMS-DST-003
  test("a registry that says OCI-Subject and has no API gets the tag; entries of others are kept", async () => {
    await using real = await startRegistry({ program })
    await using liar = startFaults(async ({ request, url, forward }) => {
      if (request.method !== "PUT" || !url.pathname.includes("/manifests/sha256:")) return undefined
      const answer = await forward()
      const headers = { ...Object.fromEntries(answer.headers), "OCI-Subject": SUBJECT.digest }
      return new Response(null, { status: answer.status, headers })
    }, real.host)
    const first = await pushReferrer(storeAt(real.host), SUBJECT, "application/x.a", "first")
    const second = await pushReferrer(storeAt(liar.host), SUBJECT, "application/x.b", "second")
    expect((await listAt(liar.host)).map(({ digest }) => digest)).toEqual([first.digest, second.digest])
  })

  test("what is there already is entered if an earlier push ended before that", async () => {
    await using real = await startRegistry({ program })
    const isTagPut: Fault = ({ request, url }) =>
      request.method === "PUT" && isTag(url) ? refusal(403, "DENIED") : undefined
    await using broken = startFaults(isTagPut, real.host)
    await failure(pushReferrer(storeAt(broken.host), SUBJECT, "application/x.a"), "OVM_REGISTRY_DENIED")
    expect(await listAt(real.host)).toEqual([])
    const pushed = await pushReferrer(storeAt(real.host), SUBJECT, "application/x.a")
    expect((await listAt(real.host)).map(({ digest }) => digest)).toEqual([pushed.digest])
  })

  test("a conflict is tried again, and one without end is an error", async () => {
    await using real = await startRegistry({ program })
    let conflicts = 2
    await using busy = startFaults(
      ({ request, url }) =>
        request.method === "PUT" && isTag(url) && conflicts-- > 0 ? refusal(409, "CONFLICT") : undefined,
      real.host,
    )
    await pushReferrer(storeAt(busy.host), SUBJECT, "application/x.a")
    expect(await listAt(real.host)).toHaveLength(1)
    conflicts = Number.POSITIVE_INFINITY
    const pushing = pushReferrer(storeAt(busy.host), SUBJECT, "application/x.a", "second")
    expect((await failure(pushing, "OVM_REGISTRY_FAILED")).message).toContain(fallbackTag(SUBJECT.digest))
  })

  test("an index that would be above 4 MiB is refused", async () => {
    const many = Array.from({ length: 10_000 }, (_, at) =>
      entry(`${at}`, { annotations: { a: "x".repeat(500) } }),
    )
    await using registry = startFaults(({ request, url }) => {
      if (request.method === "PUT") return new Response(null, { status: 201 })
      return isTag(url) ? index(many) : undefined
    })
    const manifest = manifestOver([], "one more", { subject: SUBJECT })
    const pushing = storeAt(registry.host).push(describeBytes(manifest, OCI_MANIFEST), bytesOf(manifest))
    await failure(pushing, "OVM_TOO_LARGE")
  })
})

// OVMS-OCI-090
describe("a registry that answers for the fallback tag with something else", () => {
  const subject = new TextEncoder().encode(
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: entry("c"), layers: [] }),
  )
  const target = { mediaType: OCI_MANIFEST, digest: digestOf(subject), size: subject.byteLength }
  const referrer = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      artifactType: "application/x.a",
      config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("{}"), size: 2 },
      layers: [],
      subject: target,
    }),
  )
  const html = { "Content-Type": "text/html; charset=utf-8" }
  test.each<[string, () => Response]>([
    ["it is the subject itself", () => new Response(subject, { headers: { "Content-Type": OCI_MANIFEST } })],
    ["it is a page for a browser", () => new Response("<p>Welcome", { headers: html })],
    [
      "it is a page for a browser",
      () => new Response("<!DOCTYPE html><title>x", { headers: { "Content-Type": OCI_INDEX } }),
    ],
    [
      "it is something else",
      () => Response.json({ schemaVersion: 2, mediaType: OCI_MANIFEST, config: {}, layers: [] }),
    ],
    ["it is something else", () => Response.json({ schemaVersion: 2, config: {}, layers: [] })],
    ["it is something else", () => Response.json({ schemaVersion: 1, manifests: [] })],
  ])("is told so: %s", async (reason, answer) => {
    await using registry = startFaults(({ request, url }) => {
      if (isApi(url)) return refusal(404, "NAME_UNKNOWN")
      if (request.method === "PUT") return new Response(null, { status: 201 })
      return url.pathname.endsWith(fallbackTag(target.digest)) ? answer() : undefined
    })
    const store = storeAt(registry.host)
    const listed = await failure(Array.fromAsync(store.referrers(target)), "OVM_REGISTRY_FAILED")
    expect(listed.message).toContain(reason)
    const pushed = await failure(
      store.push(describeBytes(referrer, OCI_MANIFEST), bytesOf(referrer)),
      "OVM_REGISTRY_FAILED",
    )
    expect(pushed.message).toContain(reason)
    const written = registry.seen.filter(({ method }) => method === "PUT").map(({ path }) => path)
    expect(written).toEqual([`/v2/a/b/manifests/${digestOf(referrer)}`])
  })
})
