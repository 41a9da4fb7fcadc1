import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFile, stat } from "node:fs/promises"
import { join } from "node:path"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// Credentials: checked with the registry before they are kept, used from then on, and never shown.

const skip = guestMissing || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/login.test.ts: ${skip}`)

const SECRET = "correct horse battery staple"

describe.skipIf(Boolean(skip))("login", () => {
  let registry: RegistryServer
  let box: Sandbox
  let name: string

  beforeAll(async () => {
    registry = await startRegistry({
      htpasswd: `ann:${await Bun.password.hash(SECRET, { algorithm: "bcrypt", cost: 4 })}\n`,
    })
    box = await Sandbox.create()
    name = `${registry.host}/demo/guest:1`
    await packGuest(join(box.home, "store"), name, "ticks=1 off=1")
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.stop()
  })

  const login = (user: string) => ["login", "-u", user, "--password-stdin", registry.host]
  const config = () => readFile(box.path("docker/config.json"), "utf8")

  test("without it a registry refuses, and the hint is to log in", async () => {
    for (const args of [
      ["push", name],
      ["pull", name],
      ["inspect", `${registry.host}/other`],
    ])
      await box.fails(args, "OVM_REGISTRY_UNAUTHORIZED", [registry.host, `ovm login ${registry.host}`])
  })

  // OVMS-SEC-022
  test("a wrong password is not kept, and not shown", async () => {
    const { stdout, stderr } = await box.fails(login("ann"), "OVM_REGISTRY_UNAUTHORIZED", [registry.host], {
      input: "not-it\n",
    })
    expect(stdout + stderr).not.toContain("not-it")
    await expect(config()).rejects.toThrow()
  })

  test("the right one opens the registry, until logout", async () => {
    const { status, stdout, stderr } = await box.ovm(login("ann"), { input: `${SECRET}\n` })
    expect({ status, stdout }).toEqual({ status: 0, stdout: "" })
    expect(stderr).toBe(`Logged in to ${registry.host} as ann.\n`)
    expect(JSON.parse(await config()).auths).toHaveProperty([registry.host])
    expect((await stat(box.path("docker/config.json"))).mode & 0o777).toBe(0o600)

    const { digest } = await box.json(["push", name])
    await using other = await Sandbox.create()
    expect(await other.json(["pull", name], { env: { DOCKER_CONFIG: box.path("docker") } })).toMatchObject({
      digest,
    })

    await box.ok(["logout", registry.host])
    expect(await config()).not.toContain(registry.host)
    await box.fails(["pull", name], "OVM_REGISTRY_UNAUTHORIZED", [registry.host])
    await box.fails(["logout", registry.host], "OVM_CREDENTIALS_UNAVAILABLE", [registry.host])
  })

  test("a terminal is asked, without echo", async () => {
    await using host = await Sandbox.create()
    const seen = await host.onTerminal(
      ["login", registry.host],
      [
        ["User name:", "ann"],
        ["Password:", SECRET],
      ],
    )
    expect(seen.output).not.toContain(SECRET)
    expect(seen.output).toContain(`Logged in to ${registry.host} as ann.`)
    expect(seen.status).toBe(0)
  })
})
