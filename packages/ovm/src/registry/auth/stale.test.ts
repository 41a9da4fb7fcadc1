import { describe, expect, test } from "bun:test"
import { refusal, startFaults } from "@ovms/testkit/faults.ts"
import { bytesOf } from "../../content/read.ts"
import { collect, describeBytes, failure, text } from "../../content/store.testing.ts"
import { HttpStore } from "../http-store.ts"
import { Transport } from "../transport/transport.ts"
import type { Credential } from "./credentials.ts"

// A login that is out of date, at a registry that others may read without one (OVMS-REF-023).

const BLOB = text("blob")
const TARGET = describeBytes(BLOB)
const LIMITS = { attempts: 2, backoffMs: 1 }
const STALE: Credential = {
  username: "me",
  password: "s3cr3t",
  origin: 'auths["r.example"] in /home/me/.docker/config.json',
  scope: "r.example",
}

interface Server {
  /** What the token server gives to who says who they are; a status is its refusal. */
  readonly known: string | number
  /** And to nobody. */
  readonly nobody: string | number
  /** Tokens that may read. */
  readonly reads: readonly string[]
  readonly refusal?: number
}

function startServer({ known, nobody, reads, refusal: status = 401 }: Server) {
  return startFaults(async ({ request, url }) => {
    if (url.pathname === "/token") {
      const named = request.headers.has("authorization") || request.method === "POST"
      const given = named ? known : nobody
      return typeof given === "string"
        ? Response.json({ token: given, expires_in: 300 })
        : refusal(given, "UNAUTHORIZED")
    }
    const token = request.headers.get("authorization")?.replace("Bearer ", "")
    if (token !== undefined && reads.includes(token)) return new Response(BLOB)
    if (token !== undefined && status === 403) return refusal(403, "DENIED")
    const header = `Bearer realm="http://${url.host}/token",service="reg"`
    return refusal(401, "UNAUTHORIZED", { "WWW-Authenticate": header })
  })
}

function open(host: string, credential: Credential = STALE) {
  const warnings: string[] = []
  const credentials = { get: async () => credential }
  const onWarning = (_: string, warning: string) => warnings.push(warning)
  const store = new HttpStore(new Transport(host, { credentials, limits: LIMITS, onWarning }), "a/b")
  return { store, warnings }
}

const WARNING =
  'the credentials of auths["r.example"] in /home/me/.docker/config.json are refused, and are left out: ' +
  "ovm login r.example anew, or ovm logout r.example"

describe("what is open to all is read as nobody, with one warning", () => {
  test.each<[string, Server, Credential]>([
    ["the token server refuses them", { known: 401, nobody: "open", reads: ["open"] }, STALE],
    ["the token server forbids", { known: 403, nobody: "open", reads: ["open"] }, STALE],
    [
      "an identity token is out of date",
      { known: 400, nobody: "open", reads: ["open"] },
      { ...STALE, identityToken: "s3cr3t" },
    ],
    ["their token is refused", { known: "mine", nobody: "open", reads: ["open"] }, STALE],
    ["their token is denied", { known: "mine", nobody: "open", reads: ["open"], refusal: 403 }, STALE],
  ])("where %s", async (_, server, credential) => {
    await using registry = startServer(server)
    const { store, warnings } = open(registry.host, credential)
    expect(await collect(store.fetch(TARGET))).toBe("blob")
    expect(warnings).toEqual([WARNING])
    const before = registry.seen.length
    expect(await collect(store.fetch(TARGET))).toBe("blob")
    expect(registry.seen.length).toBe(before + 1)
    expect(warnings).toHaveLength(1)
  })
})

describe("what is not open is an error that names where the credentials are", () => {
  test.each<[string, Server, "OVM_REGISTRY_UNAUTHORIZED" | "OVM_REGISTRY_DENIED"]>([
    [
      "refused twice by the token server",
      { known: 401, nobody: 401, reads: [] },
      "OVM_REGISTRY_UNAUTHORIZED",
    ],
    [
      "refused, and nobody's token too",
      { known: 401, nobody: "open", reads: [] },
      "OVM_REGISTRY_UNAUTHORIZED",
    ],
    [
      "denied, and nobody's token too",
      { known: "mine", nobody: "open", reads: [], refusal: 403 },
      "OVM_REGISTRY_DENIED",
    ],
    [
      "denied, and no token for nobody",
      { known: "mine", nobody: 401, reads: [], refusal: 403 },
      "OVM_REGISTRY_DENIED",
    ],
  ])("%s", async (_, server, code) => {
    await using registry = startServer(server)
    const { store } = open(registry.host)
    const error = await failure(store.fetch(TARGET), code)
    expect(error.message).toContain('auths["r.example"] in /home/me/.docker/config.json')
    expect(error.hint).toBe("ovm login r.example anew, or ovm logout r.example")
    expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain("s3cr3t")
    expect(registry.seen.length).toBeLessThan(8)
  })
})

test("a push is never made as nobody", async () => {
  await using registry = startServer({ known: 401, nobody: "open", reads: ["none"] })
  const { store } = open(registry.host)
  const pushing = store.push(TARGET, bytesOf(BLOB), { absent: true })
  await failure(pushing, "OVM_REGISTRY_UNAUTHORIZED")
  const asked = registry.seen.filter(({ path }) => path.startsWith("/token"))
  expect(asked.map(({ authorization }) => authorization !== null)).toEqual([true])
})
