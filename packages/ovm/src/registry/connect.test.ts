import { describe, expect, test } from "bun:test"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { makeCertificates, opensslMissing } from "@ovms/testkit/certificates.ts"
import { altered, refusal, startFaults } from "@ovms/testkit/faults.ts"
import { startProxy } from "@ovms/testkit/proxy.ts"
import { copyGraph } from "../content/copy.ts"
import { openLayout } from "../content/layout/store.ts"
import { collect, describeBytes, failure, text } from "../content/store.testing.ts"
import { connectRepository } from "./connect.ts"
import type { HttpStore } from "./http-store.ts"
import { parseReference } from "./reference.ts"
import { parseSettings } from "./transport/settings.ts"

const BLOB = text("a blob that is asked for")
const TARGET = describeBytes(BLOB)
const BASIC = `Basic ${Buffer.from("me:s3cr3t").toString("base64")}`
const challenge = () => refusal(401, "UNAUTHORIZED", { "WWW-Authenticate": "Basic" })

interface Options {
  readonly pulling?: boolean
  readonly warnings?: string[]
  /** Hosts that know us. */
  readonly known?: readonly string[]
}

function open(
  host: string,
  registries: object,
  { pulling, warnings, known = [] }: Options = {},
): Promise<HttpStore> {
  return connectRepository(parseReference(`${host}/a/b:v1`), {
    settings: parseSettings(JSON.stringify({ registries }), "/registries.json"),
    credentials: {
      get: async (asked) =>
        known.includes(asked.split("/")[0] ?? "") ? { username: "me", password: "s3cr3t" } : undefined,
    },
    onWarning: (from, warning) => warnings?.push(`${from}: ${warning}`),
    ...(pulling !== undefined && { pulling }),
  })
}

describe("proxies", () => {
  test("the one of the settings, with its password, by absolute-form requests", async () => {
    await using registry = startFaults(() => new Response(BLOB))
    await using proxy = await startProxy({ "registry.test:80": registry.host })
    const by = proxy.url.replace("http://", "http://who:pass@")
    const store = await open("registry.test", { "registry.test": { plainHttp: true, proxy: by } })
    expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
    expect(proxy.seen).toEqual([
      {
        line: `GET http://registry.test/v2/a/b/blobs/${TARGET.digest}`,
        authorization: `Basic ${Buffer.from("who:pass").toString("base64")}`,
      },
    ])
    expect(registry.seen).toHaveLength(1)
  })

  test("a proxy gets credentials of the registry inside the request only, and none of its own", async () => {
    await using registry = startFaults(({ request }) =>
      request.headers.get("authorization") === BASIC ? new Response(BLOB) : challenge(),
    )
    await using proxy = await startProxy({ "registry.test:80": registry.host })
    const settings = { "registry.test": { plainHttp: true, proxy: proxy.url } }
    const store = await open("registry.test", settings, { known: ["registry.test"] })
    expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
    expect(proxy.seen.map(({ authorization }) => authorization)).toEqual([undefined, undefined])
  })

  test("a proxy that is not there", async () => {
    const settings = { "registry.test": { plainHttp: true, proxy: "http://u:s3cr3t@127.0.0.1:1" } }
    const store = await open("registry.test", settings)
    const quick = { signal: AbortSignal.timeout(20_000) }
    const error = await failure(store.fetch(TARGET, quick), "OVM_REGISTRY_UNREACHABLE")
    expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain("s3cr3t")
  })
})

describe("a public registry", () => {
  // Its name is resolved by the proxy alone, so here it is an address of nobody.
  const sent = async (location: string, more: object = {}) => {
    await using inside = startFaults(() => new Response(BLOB))
    await using registry = startFaults(() =>
      Response.redirect(location.replace("PORT", inside.host.split(":")[1] ?? ""), 307),
    )
    await using proxy = await startProxy({ "registry.test:80": registry.host })
    const store = await open("registry.test", {
      "registry.test": { plainHttp: true, proxy: proxy.url, ...more },
    })
    return { inside, result: await collect(store.fetch(TARGET)).catch((error: unknown) => error) }
  }

  test.each([
    "http://127.0.0.1:PORT/x",
    "http://localhost:PORT/x",
    "http://2130706433:PORT/x",
    "http://[::ffff:127.0.0.1]:PORT/x",
    "http://169.254.169.254/latest/meta-data",
    "http://10.1.2.3/x",
    "http://[fd00::1]/x",
    "http://0.0.0.0:PORT/x",
  ])("cannot send us to %s", async (location) => {
    const { inside, result } = await sent(location)
    expect(result).toMatchObject({ code: "OVM_REGISTRY_FAILED" })
    expect(String(result)).toContain("an address of this network")
    expect(inside.seen).toEqual([])
  })

  test("unless that is allowed", async () => {
    const { result } = await sent("http://127.0.0.1:PORT/x", { allowPrivateRedirects: true })
    expect(result).toBe("a blob that is asked for")
  })

  test("cannot have its token fetched there either", async () => {
    await using inside = startFaults(() => Response.json({ token: "x" }))
    await using registry = startFaults(() =>
      refusal(401, "X", { "WWW-Authenticate": `Bearer realm="http://${inside.host}/token"` }),
    )
    await using proxy = await startProxy({ "registry.test:80": registry.host })
    const store = await open("registry.test", { "registry.test": { plainHttp: true, proxy: proxy.url } })
    await failure(store.fetch(TARGET), "OVM_REGISTRY_FAILED")
    expect(inside.seen).toEqual([])
  })
})

describe("mirrors", () => {
  const manifest = text('{"schemaVersion":2}')
  const digest = describeBytes(manifest).digest
  const headers = {
    "Content-Type": "application/vnd.oci.image.manifest.v1+json",
    "Docker-Content-Digest": digest,
  }
  const whole = () =>
    startFaults(({ request, url }) => {
      const body = url.pathname.includes("/manifests/") ? manifest : BLOB
      const length = { "Content-Length": `${body.byteLength}` }
      return request.method === "HEAD"
        ? new Response(null, { headers: { ...headers, ...length } })
        : new Response(body, { headers })
    })

  test("are asked for content in order; tags are asked of the registry unless told", async () => {
    await using registry = whole()
    await using empty = startFaults(() => undefined)
    await using mirror = whole()
    const mirrors = [{ location: empty.host }, { location: `${mirror.host}/hub` }]
    const store = await open(registry.host, { [registry.host]: { mirrors } }, { pulling: true })
    expect((await store.resolve("v1")).digest).toBe(digest)
    expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
    expect(registry.seen.map(({ path }) => path)).toEqual(["/v2/a/b/manifests/v1"])
    expect(empty.seen.map(({ path }) => path)).toEqual([`/v2/a/b/blobs/${TARGET.digest}`])
    expect(mirror.seen.map(({ path }) => path)).toEqual([`/v2/hub/a/b/blobs/${TARGET.digest}`])
    const trusting = { [registry.host]: { mirrors: [{ location: mirror.host, resolve: true }] } }
    await (await open(registry.host, trusting, { pulling: true })).resolve("v1")
    expect(registry.seen).toHaveLength(1)
  })

  test("are not asked when pushing", async () => {
    await using registry = startFaults(() => undefined)
    await using mirror = whole()
    const store = await open(registry.host, { [registry.host]: { mirrors: [{ location: mirror.host }] } })
    expect(await store.exists(TARGET)).toBe(false)
    expect(mirror.seen).toEqual([])
  })

  test("that fail, or break off, cost a warning and nothing else", async () => {
    await using registry = whole()
    await using broken = startFaults(() => refusal(403, "DENIED"))
    await using cut = startFaults(async () => altered(new Response(BLOB), (body) => body.subarray(0, 5)))
    const warnings: string[] = []
    const mirrors = [{ location: "127.0.0.1:1" }, { location: broken.host }, { location: cut.host }]
    const store = await open(registry.host, { [registry.host]: { mirrors } }, { pulling: true, warnings })
    expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
    expect(warnings.map((each) => each.split(": ")[2])).toEqual([
      "OVM_REGISTRY_UNREACHABLE",
      "OVM_REGISTRY_DENIED",
    ])
    expect(registry.seen).toHaveLength(1)
  })

  test.each([
    ["wrong bytes", BLOB.with(3, 0)],
    ["a wrong length", text("short")],
  ])("with %s do no harm, are named, and are not asked for it again", async (_, answer) => {
    await using registry = whole()
    await using wrong = startFaults(() => new Response(answer))
    await using second = whole()
    const mirrors = [{ location: `${wrong.host}/hub` }, { location: `${second.host}/hub` }]
    const warnings: string[] = []
    const store = await open(registry.host, { [registry.host]: { mirrors } }, { pulling: true, warnings })
    expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
    expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
    expect(warnings).toEqual([
      `${registry.host}: mirror ${wrong.host}: what it sent for ${TARGET.digest} is something else`,
    ])
    expect(wrong.seen).toHaveLength(1)
    expect(registry.seen).toEqual([])
  })

  test("with a wrong byte in a large blob, which comes by ranges into a file", async () => {
    const large = new Uint8Array(6 * 1024 * 1024).map((_, at) => at * at)
    const target = describeBytes(large)
    const serving = (bytes: Uint8Array) =>
      startFaults(({ request }) => {
        const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "") ?? []
        if (from === undefined) return new Response(bytes)
        const headers = { "Content-Range": `bytes ${from}-${to}/${bytes.byteLength}` }
        return new Response(bytes.subarray(Number(from), Number(to) + 1), { status: 206, headers })
      })
    await using registry = serving(large)
    await using wrong = serving(large.with(5_000_000, 1))
    const store = await open(
      registry.host,
      { [registry.host]: { mirrors: [{ location: `${wrong.host}/hub` }] } },
      { pulling: true },
    )
    const root = await mkdtemp(join(tmpdir(), "ovm-mirror-"))
    try {
      await using layout = await openLayout(root, { create: true })
      await copyGraph(store, target, layout)
      expect(await layout.exists(target)).toBe(true)
      expect(wrong.seen.length).toBeGreaterThan(0)
      expect(registry.seen.length).toBeGreaterThan(0)
    } finally {
      await rm(root, { recursive: true })
    }
  })

  test("without any, wrong bytes of the registry itself are an error at once", async () => {
    await using registry = startFaults(() => new Response(BLOB.with(3, 0)))
    await using empty = startFaults(() => undefined)
    const mirrors = [{ location: empty.host }]
    const store = await open(registry.host, { [registry.host]: { mirrors } }, { pulling: true })
    await failure(store.fetch(TARGET), "OVM_DIGEST_MISMATCH")
    expect(registry.seen).toHaveLength(1)
  })

  test("get their own credentials and no others", async () => {
    await using registry = startFaults(() => challenge())
    await using mirror = startFaults(({ request }) =>
      request.headers.get("authorization") ? new Response(BLOB) : challenge(),
    )
    const settings = { [registry.host]: { mirrors: [{ location: mirror.host }] } }
    const ours = await open(registry.host, settings, { pulling: true, known: [registry.host] })
    await failure(ours.fetch(TARGET), "OVM_REGISTRY_UNAUTHORIZED")
    expect(mirror.seen.map(({ authorization }) => authorization)).toEqual([null])
    const theirs = await open(registry.host, settings, { pulling: true, known: [mirror.host] })
    expect(await collect(theirs.fetch(TARGET))).toBe("a blob that is asked for")
    expect(mirror.seen.at(-1)?.authorization).toBe(BASIC)
  })
})

describe("warnings", () => {
  test("come once each, and are never acted on", async () => {
    const Warning = '299 - "this registry moves on \\"Monday\\"", 299 - "and more", 199 - "not this"'
    await using registry = startFaults(() => new Response(BLOB, { headers: { Warning } }))
    const warnings: string[] = []
    const store = await open(registry.host, {}, { warnings })
    await collect(store.fetch(TARGET))
    await collect(store.fetch(TARGET))
    expect(warnings).toEqual([
      `${registry.host}: this registry moves on "Monday"`,
      `${registry.host}: and more`,
    ])
  })

  test("without end are cut", async () => {
    await using registry = startFaults(
      ({ earlier }) => new Response(BLOB, { headers: { Warning: `299 - "${earlier} ${"x".repeat(1000)}"` } }),
    )
    const warnings: string[] = []
    const store = await open(registry.host, {}, { warnings })
    for (let at = 0; at < 30; at++) await collect(store.fetch(TARGET))
    expect(warnings).toHaveLength(20)
    expect(Math.max(...warnings.map(({ length }) => length))).toBeLessThan(600)
  })
})

if (opensslMissing) console.log(`SKIP packages/ovm/src/registry/connect.test.ts: ${opensslMissing}`)

describe.skipIf(Boolean(opensslMissing))("TLS", () => {
  test("an authority of the settings, and a certificate of ours for the registry's host only", async () => {
    await using certificates = await makeCertificates()
    const { ca, server, client } = certificates
    const files = {
      cert: await readFile(server.cert),
      key: await readFile(server.key),
      ca: await readFile(ca),
    }
    const serve = (strict: boolean): Bun.Server<undefined> =>
      Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        tls: { ...files, requestCert: strict, rejectUnauthorized: strict },
        fetch: ({ url }): Response =>
          url.includes("/away/")
            ? Response.redirect(`https://127.0.0.1:${other.port}/x`)
            : new Response(BLOB),
      })
    const other = serve(true)
    const registry = serve(true)
    try {
      const host = `127.0.0.1:${registry.port}`
      const at = async (settings: object) => open(host, { [host]: { plainHttp: false, ...settings } })
      await failure((await at({})).fetch(TARGET), "OVM_REGISTRY_UNREACHABLE")
      await failure((await at({ ca })).fetch(TARGET), "OVM_REGISTRY_UNREACHABLE")
      const keys = { ca, clientCert: client.cert, clientKey: client.key }
      expect(await collect((await at(keys)).fetch(TARGET))).toBe("a blob that is asked for")
      // The other host would take our certificate if it got it.
      const away = await connectRepository(parseReference(`${host}/away/b`), {
        settings: parseSettings(
          JSON.stringify({ registries: { [host]: { plainHttp: false, ...keys } } }),
          "/x",
        ),
      })
      await failure(away.fetch(TARGET), "OVM_REGISTRY_UNREACHABLE")
    } finally {
      await Promise.all([registry.stop(true), other.stop(true)])
    }
  })
})
