import { afterEach, expect, test } from "bun:test"
import { roundTrip } from "./http.ts"
import { HTTP_LIMITS } from "./limits.ts"

const NAMES = ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"] as const
const before = NAMES.map((name) => process.env[name])

function put(values: readonly (string | undefined)[]): void {
  for (const [at, name] of NAMES.entries()) {
    const value = values[at]
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}

afterEach(() => put(before))

test.each([
  ["none", undefined],
  ["a list", "other.test,.test"],
])("an address of this host is asked past a proxy, and NO_PROXY stays %s", async (_, list) => {
  using server = Bun.serve({ port: 0, fetch: () => new Response("direct") })
  const values = ["http://127.0.0.1:1", "http://127.0.0.1:1", list, undefined]
  put(values)
  const asked = roundTrip({
    method: "GET",
    url: new URL(`http://127.0.0.1:${server.port}/`),
    limits: HTTP_LIMITS,
  })
  expect(NAMES.map((name) => process.env[name])).toEqual(values)
  expect(await (await asked).text()).toBe("direct")
})

test("other addresses are asked for through it", async () => {
  using proxy = Bun.serve({ port: 0, fetch: () => new Response("proxied") })
  put([proxy.url.origin, proxy.url.origin, undefined, undefined])
  const answer = await roundTrip({
    method: "GET",
    url: new URL("http://registry.test/"),
    limits: HTTP_LIMITS,
  })
  expect(await answer.text()).toBe("proxied")
})
