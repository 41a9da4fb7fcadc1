import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { copyFile, readFile } from "node:fs/promises"
import { makeCertificates, opensslMissing } from "@ovms/testkit/certificates.ts"
import { startFaults } from "@ovms/testkit/faults.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { startProxy } from "@ovms/testkit/proxy.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { Sandbox } from "./sandbox.ts"

// What an operator says about registries, in registries.json and the environment, and what becomes of it.

const skip = guestMissing || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/registries.test.ts: ${skip}`)

describe.skipIf(Boolean(skip))("registries", () => {
  let real: RegistryServer
  let box: Sandbox
  let digest: string

  beforeAll(async () => {
    real = await startRegistry()
    box = await Sandbox.create()
    await copyFile(await buildGuest(), box.path("kernel"))
    digest = (await box.json(["pack", "--kernel", "kernel", "--args", "x", "-t", "m"])).digest
    await box.ok(["copy", "m", `${real.host}/machines/m:1`])
    await box.ok(["copy", "m", `${real.host}/hub/machines/m:1`])
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await real?.stop()
  })

  const settle = async (where: Sandbox, registries: object) => {
    await where.ok(["images"])
    await where.file("home/registries.json", { registries })
  }

  test("a machine comes from a mirror while its registry is away, under its own name", async () => {
    await using other = await Sandbox.create()
    const mirrors = [{ location: "127.0.0.1:1" }, { location: `${real.host}/hub`, resolve: true }]
    await settle(other, { "registry.test": { mirrors } })
    const { stdout, stderr, status } = await other.ovm(["pull", "registry.test/machines/m:1"])
    expect({ status, stdout }).toEqual({
      status: 0,
      stdout: `${digest}  registry.test/machines/m:1  pulled\n`,
    })
    expect(stderr).toContain("warning: registry.test: mirror 127.0.0.1:1: OVM_REGISTRY_UNREACHABLE")
    expect(stderr).toContain("whether the machine is signed is not known")
    expect(await other.ok(["validate", "registry.test/machines/m:1"])).toContain("valid")
  })

  test("a settings file with a fault stops what needs it, and says where it is", async () => {
    await using other = await Sandbox.create()
    await settle(other, { "registry.test": { mirror: [] } })
    const culprits = ["registries.json", '"registry.test".mirror']
    await other.fails(["pull", "registry.test/m:1"], "OVM_SETTINGS_INVALID", culprits)
    await other.ok(["images"])
  })

  test("HTTP_PROXY is used, NO_PROXY and addresses of this host are not proxied", async () => {
    await using proxy = await startProxy({ "registry.test:80": real.host })
    await using other = await Sandbox.create()
    const pull = ["pull", "--plain-http", "registry.test/machines/m:1"]
    const env = { HTTP_PROXY: proxy.url, http_proxy: proxy.url }
    expect(await other.ok(pull, { env })).toContain(digest)
    expect(proxy.seen.length).toBeGreaterThan(2)
    const before = proxy.seen.length
    expect(await other.ok(["pull", `${real.host}/machines/m:1`], { env })).toContain(digest)
    const direct = { ...env, NO_PROXY: "other.test,.test" }
    await other.fails(
      [...pull.slice(0, 2), "registry.test/machines/m:2"],
      "OVM_REGISTRY_UNREACHABLE",
      ["registry.test"],
      {
        env: direct,
      },
    )
    expect(proxy.seen).toHaveLength(before)
  }, 180_000)

  test.skipIf(Boolean(opensslMissing))(
    "HTTPS goes through a proxy unseen, with an authority of the settings",
    async () => {
      await using certificates = await makeCertificates()
      const { cert, key } = certificates.server
      const secure = Bun.serve({
        hostname: "127.0.0.1",
        port: 0,
        tls: { cert: await readFile(cert), key: await readFile(key) },
        fetch: ({ url, method, headers }) => {
          const { pathname, search } = new URL(url)
          return fetch(`http://${real.host}${pathname}${search}`, { method, headers, decompress: false })
        },
      })
      try {
        await using proxy = await startProxy({ "localhost:443": `127.0.0.1:${secure.port}` })
        await using other = await Sandbox.create()
        const host = `127.0.0.1:${secure.port}`
        await settle(other, { [host]: { plainHttp: false, ca: certificates.ca, proxy: proxy.url } })
        expect(await other.ok(["pull", `${host}/machines/m:1`])).toContain(digest)
        await settle(other, { [host]: { plainHttp: false } })
        await other.fails(["pull", `${host}/machines/m:2`], "OVM_REGISTRY_UNREACHABLE", ["SIGNATURE"])
      } finally {
        await secure.stop(true)
      }
    },
  )

  test("a warning of a registry is printed once, on standard error, as plain text", async () => {
    await using polite = startFaults(async ({ forward }) => {
      const answer = await forward()
      const headers = new Headers(answer.headers)
      headers.set("Warning", '299 - "we move on Monday"')
      return new Response(await answer.arrayBuffer(), { status: answer.status, headers })
    }, real.host)
    await using other = await Sandbox.create()
    const { stderr, stdout } = await other.ovm(["pull", "--json", `${polite.host}/machines/m:1`])
    const unsigned = `warning: ${polite.host}/machines/m:1: the machine is not signed, and no policy asks for that`
    expect(stderr.split("\n")).toEqual([`warning: ${polite.host}: we move on Monday`, unsigned, ""])
    expect(JSON.parse(stdout)).toMatchObject({ digest })
  })

  test("probe prints a table to people and findings to programs, and leaves nothing", async () => {
    const table = await box.ok(["registry", "probe", `${real.host}/scratch/probe`])
    expect(table).toContain("referrers API")
    expect(table).toContain("reads and writes the fallback tag")
    const found = await box.json(["registry", "probe", `${real.host}/scratch/probe`])
    expect(found).toMatchObject({ host: real.host, repository: "scratch/probe", left: [] })
    await box.fails(["registry", "probe", "scratch"], "OVM_REFERENCE_INVALID", ["scratch"])
  })
})
