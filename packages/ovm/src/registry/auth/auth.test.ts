import { expect, test } from "bun:test"
import { type Fault, refusal, startFaults } from "@ovms/testkit/faults.ts"
import { bytesOf } from "../../content/read.ts"
import { collect, describeBytes, failure, text } from "../../content/store.testing.ts"
import { type ErrorCode, OvmError } from "../../errors.ts"
import { HTTP_LIMITS as DEFAULTS } from "../http/limits.ts"
import { HttpStore } from "../http-store.ts"
import { Transport, type TransportOptions } from "../transport/transport.ts"
import { Authorizer } from "./auth.ts"
import { ANONYMOUS, type Credential } from "./credentials.ts"

const BLOB = text("blob")
const TARGET = describeBytes(BLOB)
const LIMITS = { attempts: 2, backoffMs: 1 }
const USER = { username: "me", password: "s3cr3t" }
const BASIC = `Basic ${Buffer.from("me:s3cr3t").toString("base64")}`

function storeAt(host: string, credential?: Credential, options: TransportOptions = {}): HttpStore {
  const credentials = { get: async () => credential }
  return new HttpStore(new Transport(host, { credentials, limits: LIMITS, ...options }), "a/b")
}

const challenge = (header: string) => refusal(401, "UNAUTHORIZED", { "WWW-Authenticate": header })

/** A registry and its token server in one: `/token` gives "good", all else wants it. */
function tokenRegistry(token: (url: URL, request: Request) => Response | Promise<Response>) {
  const fault: Fault = async ({ request, url }) => {
    if (url.pathname === "/token") return token(url, request)
    if (request.headers.get("authorization") === "Bearer good") return new Response(BLOB)
    return challenge(`Bearer realm="http://${url.host}/token",service="reg",scope="repository:a/b:pull"`)
  }
  return startFaults(fault)
}

test("basic credentials are sent when asked for, and only then", async () => {
  await using registry = startFaults(({ request }) =>
    request.headers.get("authorization") === BASIC ? new Response(BLOB) : challenge('Basic realm="x"'),
  )
  const store = storeAt(registry.host, USER)
  expect(await collect(store.fetch(TARGET))).toBe("blob")
  expect(await collect(store.fetch(TARGET))).toBe("blob")
  expect(registry.seen.map(({ authorization }) => authorization)).toEqual([null, BASIC, BASIC])
  const error = await failure(storeAt(registry.host).fetch(TARGET), "OVM_REGISTRY_UNAUTHORIZED")
  expect(error.hint).toBe(`ovm login ${registry.host}`)
})

test("the token flow, with a cache a scope", async () => {
  const asked: string[] = []
  await using registry = tokenRegistry((url, request) => {
    asked.push(`${url.search} ${request.headers.get("authorization")}`)
    return Response.json({ token: "good", expires_in: 300 })
  })
  const store = storeAt(registry.host, USER)
  expect(await collect(store.fetch(TARGET))).toBe("blob")
  expect(await collect(store.fetch(TARGET))).toBe("blob")
  expect(asked).toEqual([`?service=reg&scope=repository%3Aa%2Fb%3Apull ${BASIC}`])
})

test("access_token is as good, anonymously too", async () => {
  await using registry = tokenRegistry((_, request) =>
    request.headers.has("authorization") ? refusal(400, "X") : Response.json({ access_token: "good" }),
  )
  expect(await collect(storeAt(registry.host).fetch(TARGET))).toBe("blob")
})

test("an identity token is exchanged by POST", async () => {
  await using registry = tokenRegistry(async (_, request) => {
    const form = new URLSearchParams(await request.text())
    expect(Object.fromEntries(form)).toMatchObject({
      grant_type: "refresh_token",
      refresh_token: "idt",
      service: "reg",
      scope: "repository:a/b:pull",
    })
    return Response.json({ access_token: "good" })
  })
  expect(await collect(storeAt(registry.host, { identityToken: "idt" }).fetch(TARGET))).toBe("blob")
})

test.each<[string, ErrorCode, () => Response]>([
  ["refuses", "OVM_REGISTRY_UNAUTHORIZED", () => refusal(401, "UNAUTHORIZED")],
  ["forbids", "OVM_REGISTRY_DENIED", () => refusal(403, "DENIED")],
  ["gives a token that is not taken", "OVM_REGISTRY_UNAUTHORIZED", () => Response.json({ token: "bad" })],
  ["gives no token", "OVM_REGISTRY_FAILED", () => Response.json({})],
  ["gives no JSON", "OVM_REGISTRY_FAILED", () => new Response("<html>")],
  ["gives a header injection", "OVM_REGISTRY_FAILED", () => Response.json({ token: "good\r\nX: y" })],
  ["redirects", "OVM_REGISTRY_FAILED", () => Response.redirect("http://127.0.0.1:1/token")],
  ["gives too much", "OVM_TOO_LARGE", () => new Response("x".repeat(300_000))],
])("a token server that %s", async (_, code, token) => {
  await using registry = tokenRegistry(token)
  const error = await failure(storeAt(registry.host, USER).fetch(TARGET), code)
  expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain("s3cr3t")
  expect(registry.seen.length).toBeLessThan(6)
})

test("no credentials for a realm on another host without TLS", async () => {
  await using thief = startFaults(() => Response.json({ token: "good" }))
  const realm = `http://${thief.host.replace("127.0.0.1", "127.0.0.2")}/token`
  await using registry = startFaults(() => challenge(`Bearer realm="${realm}",service="x"`))
  const error = await failure(storeAt(registry.host, USER).fetch(TARGET), "OVM_REGISTRY_FAILED")
  expect(error.message).toContain("127.0.0.2")
  await failure(storeAt(registry.host, { identityToken: "idt" }).fetch(TARGET), "OVM_REGISTRY_FAILED")
  expect(thief.seen).toEqual([])
})

test.each(["file:///etc/passwd", "ftp://127.0.0.1/x", "http://user:pw@127.0.0.1/x", "/token", ""])(
  "the realm %j is not followed",
  async (realm) => {
    await using registry = startFaults(() => challenge(`Bearer realm="${realm}",service="x"`))
    const code = realm === "" ? "OVM_REGISTRY_UNAUTHORIZED" : "OVM_REGISTRY_FAILED"
    await failure(storeAt(registry.host, USER).fetch(TARGET), code)
  },
)

test("a redirect to another host gets no credentials", async () => {
  await using elsewhere = startFaults(() => new Response(BLOB))
  await using registry = startFaults(({ request }) => {
    if (request.headers.get("authorization") !== BASIC) return challenge("Basic")
    return Response.redirect(`http://${elsewhere.host}/signed?x=1`, 307)
  })
  expect(await collect(storeAt(registry.host, USER).fetch(TARGET))).toBe("blob")
  expect(elsewhere.seen).toMatchObject([{ method: "GET", path: "/signed?x=1", authorization: null }])
})

test("an upload location on another host gets the content and no credentials", async () => {
  await using elsewhere = startFaults(() => new Response(null, { status: 201 }))
  await using registry = startFaults(({ request }) => {
    if (request.headers.get("authorization") !== BASIC) return challenge("Basic")
    if (request.method === "HEAD") return new Response(null, { status: 404 })
    return new Response(null, { status: 202, headers: { Location: `http://${elsewhere.host}/up?sig=a%2Fb` } })
  })
  await storeAt(registry.host, USER).push(TARGET, bytesOf(BLOB))
  expect(elsewhere.seen).toMatchObject([
    { method: "PUT", path: `/up?sig=a%2Fb&digest=${encodeURIComponent(TARGET.digest)}`, authorization: null },
  ])
})

test.each([
  ["file:///etc/passwd", "to file://,"],
  ["http://u:secret@127.0.0.1/", "to http://127.0.0.1 with credentials in the URL"],
  ["gopher://x/", "to gopher://x,"],
  ["http://[bad", "no URL"],
])("a redirect to %s is refused", async (location, why) => {
  await using registry = startFaults(
    () => new Response(null, { status: 302, headers: { Location: location } }),
  )
  const { message } = await failure(storeAt(registry.host).fetch(TARGET), "OVM_REGISTRY_FAILED")
  expect(message).toContain(why)
  expect(message).not.toContain("secret")
  expect(registry.seen).toHaveLength(1)
})

test("redirects without end are ended", async () => {
  await using registry = startFaults(({ url }) => Response.redirect(url.href))
  const error = await failure(storeAt(registry.host).fetch(TARGET), "OVM_REGISTRY_FAILED")
  expect(error.message).toContain("redirects")
  expect(registry.seen).toHaveLength(6)
})

test("a registry with TLS cannot send us to a realm without", async () => {
  const authorizer = new Authorizer({
    origin: new URL("https://r.example"),
    host: "r.example",
    credentials: ANONYMOUS,
    limits: { ...DEFAULTS, ...LIMITS },
  })
  const answer = authorizer.answer('Bearer realm="http://r.example/token"', "s", undefined, {})
  expect((await failure(answer, "OVM_REGISTRY_FAILED")).message).toContain("http://r.example")
})

test("a token that is taken back in the middle is replaced, once for all that need it", async () => {
  let good = 0
  const tokens: string[] = []
  await using registry = startFaults(async ({ request, url }) => {
    if (url.pathname === "/token") {
      await Bun.sleep(20)
      good++
      tokens.push(`t${good}`)
      return Response.json({ token: `t${good}`, expires_in: 300 })
    }
    if (request.headers.get("authorization") === `Bearer t${good}`) return new Response(BLOB)
    return challenge(`Bearer realm="http://${url.host}/token",service="reg"`)
  })
  const store = storeAt(registry.host, USER)
  expect(await collect(store.fetch(TARGET))).toBe("blob")
  // The registry forgets the token: four transfers meet a 401 at once.
  good = 10
  expect(await Promise.all(Array.from({ length: 4 }, () => collect(store.fetch(TARGET))))).toEqual(
    Array.from({ length: 4 }, () => "blob"),
  )
  expect(tokens).toEqual(["t1", "t11"])
})

test("an expired token is replaced before a body that can be sent once only", async () => {
  const now = Date.now
  let asked = 0
  const big = new Uint8Array(5 * 1024 * 1024)
  const target = describeBytes(big)
  await using registry = startFaults(async ({ request, url }) => {
    if (url.pathname === "/token") return Response.json({ token: `t${++asked}`, expires_in: 60 })
    if (!request.headers.has("authorization"))
      return challenge(`Bearer realm="http://${url.host}/token",service="reg"`)
    if (request.method === "HEAD") return new Response(null, { status: 404 })
    if (request.method === "PUT") {
      await request.arrayBuffer()
      return new Response(null, { status: request.headers.get("authorization") === "Bearer t3" ? 201 : 401 })
    }
    // A minute goes by between the beginning of the upload and its content.
    Date.now = () => now() + 61_000
    return new Response(null, { status: 202, headers: { Location: `/v2/a/b/blobs/uploads/1` } })
  })
  try {
    await storeAt(registry.host, USER).push(target, bytesOf(big))
  } finally {
    Date.now = now
  }
  expect(asked).toBe(3)
})

test("a registry that never takes its own tokens is given up on", async () => {
  await using registry = startFaults(({ url }) =>
    url.pathname === "/token"
      ? Response.json({ token: "any" })
      : challenge(`Bearer realm="http://${url.host}/token",service="reg",error="insufficient_scope"`),
  )
  await failure(storeAt(registry.host, USER).fetch(TARGET), "OVM_REGISTRY_UNAUTHORIZED")
  expect(registry.seen.length).toBeLessThan(6)
})

test("a token for less than was asked for is no error until it is not enough", async () => {
  await using registry = startFaults(({ request, url }) => {
    if (url.pathname === "/token") return Response.json({ token: "pull-only" })
    if (!request.headers.has("authorization"))
      return challenge(
        `Bearer realm="http://${url.host}/token",service="reg",scope="repository:a/b:pull,push"`,
      )
    if (request.method === "GET") return new Response(BLOB)
    return request.method === "HEAD" ? new Response(null, { status: 404 }) : refusal(403, "DENIED")
  })
  const store = storeAt(registry.host, USER)
  expect(await collect(store.fetch(TARGET))).toBe("blob")
  await failure(store.push(TARGET, bytesOf(BLOB)), "OVM_REGISTRY_DENIED")
})

test("a realm with TLS on a host of others gets no credentials, unless the operator says so", async () => {
  const asked: string[] = []
  const authorizer = (credential: Credential | undefined, tokenHosts: string[] = []) =>
    new Authorizer({
      origin: new URL("https://registry.example.com"),
      host: "registry.example.com",
      credentials: { get: async () => credential },
      limits: { ...DEFAULTS, ...LIMITS },
      connectionTo: async (url) => {
        asked.push(url.host)
        throw new OvmError("OVM_INTERNAL", "as far as it was to go")
      },
      tokenHosts,
    })
  const ask = (who: Authorizer, host: string) =>
    who.answer(`Bearer realm="https://${host}/token"`, "s", undefined, {})
  for (const host of ["evil.test", "example.com.evil.test", "[2001:db8::1]"]) {
    const error = await failure(ask(authorizer(USER), host), "OVM_REGISTRY_FAILED")
    expect(error.message).toContain(`https://${host}`)
    expect(error.hint).toContain("tokenHosts")
    await failure(ask(authorizer({ identityToken: "idt" }), host), "OVM_REGISTRY_FAILED")
  }
  expect(asked).toEqual([])
  await failure(ask(authorizer(undefined), "evil.test"), "OVM_INTERNAL")
  await failure(ask(authorizer(USER), "auth.example.com"), "OVM_INTERNAL")
  await failure(ask(authorizer(USER, ["sso.test:8443"]), "sso.test:8443"), "OVM_INTERNAL")
  expect(asked).toEqual(["evil.test", "auth.example.com", "sso.test:8443"])
})
