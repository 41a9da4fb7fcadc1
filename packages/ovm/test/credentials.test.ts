import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { chmod, chown, copyFile, mkdir, readFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { type FaultyRegistry, refusal, startFaults } from "@ovms/testkit/faults.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { Sandbox } from "./sandbox.ts"

// Whose credentials go where: every request is watched, on its way to a real registry (OVMS-REF-020, OVMS-REF-022,
// OVMS-REF-024).

setDefaultTimeout(240_000)

const skip = guestMissing || registryMissing
if (skip) console.log(`SKIP packages/ovm/test/credentials.test.ts: ${skip}`)

const BUILT = process.env.OVM_BIN ?? fileURLToPath(new URL("../../../dist/ovm", import.meta.url))
const SECRETS = { "team-a": "first-secret", "team-b": "second-secret", "team-a/deep": "third-secret" }
const auth = (scope: keyof typeof SECRETS) =>
  Buffer.from(`${scope.replace("/", "-")}:${SECRETS[scope]}`).toString("base64")
const header = (scope: keyof typeof SECRETS) => `Basic ${auth(scope)}`

/** Which secret a request for `path` may have. */
function owner(path: string): keyof typeof SECRETS | undefined {
  return (["team-a/deep", "team-a", "team-b"] as const).find((scope) => path.startsWith(`/v2/${scope}/`))
}

describe.skipIf(Boolean(skip))("credentials of parts of a host", () => {
  let real: RegistryServer
  let elsewhere: FaultyRegistry
  let registry: FaultyRegistry
  let box: Sandbox

  beforeAll(async () => {
    real = await startRegistry()
    elsewhere = startFaults(() => undefined, real.host)
    registry = startFaults(({ request, url }) => {
      const scope = owner(url.pathname)
      if (scope === undefined) return undefined
      if (request.headers.get("authorization") !== header(scope))
        return refusal(401, "UNAUTHORIZED", { "WWW-Authenticate": 'Basic realm="x"' })
      // Blobs come from somewhere else, as from the stores behind large registries.
      if (request.method === "GET" && url.pathname.includes("/blobs/sha256:"))
        return Response.redirect(`http://${elsewhere.host}${url.pathname}`, 307)
      return undefined
    }, real.host)
    box = await Sandbox.create()
    const auths = Object.keys(SECRETS).map((scope) => [
      `${registry.host}/${scope}`,
      { auth: auth(scope as keyof typeof SECRETS) },
    ])
    await mkdir(box.path("docker"))
    await box.file("docker/config.json", { auths: Object.fromEntries(auths) })
    await packGuest(`${box.home}/store`, `${registry.host}/team-a/m:1`, "ticks=1 off=1")
  })
  afterAll(async () => {
    await box?.[Symbol.asyncDispose]()
    await registry?.[Symbol.asyncDispose]()
    await elsewhere?.[Symbol.asyncDispose]()
    await real?.stop()
  })

  test("each repository gets its own, a redirect none, and nothing is printed", async () => {
    const host = registry.host
    const said: string[] = []
    for (const args of [
      ["push", `${host}/team-a/m:1`],
      ["copy", `${host}/team-a/m:1`, `${host}/team-b/m:1`],
      ["copy", `${host}/team-b/m:1`, `${host}/team-a/deep/m:1`],
      ["copy", `${host}/team-a/deep/m:1`, `${host}/open/m:1`],
      ["inspect", `${host}/team-b/m:1`],
      ["discover", `${host}/team-a/deep/m:1`],
    ]) {
      const { status, stdout, stderr } = await box.ovm(args)
      expect({ args, status, stderr }).toMatchObject({ status: 0 })
      said.push(stdout, stderr)
    }
    await using other = await Sandbox.create()
    const env = { DOCKER_CONFIG: box.path("docker") }
    said.push(await other.ok(["pull", `${host}/team-b/m:1`], { env }))
    expect(registry.seen.length).toBeGreaterThan(20)
    for (const { method, path, authorization } of registry.seen) {
      const scope = owner(path)
      const allowed = scope === undefined ? [null] : [null, header(scope)]
      expect({ method, path, allowed: allowed.includes(authorization) }).toMatchObject({ allowed: true })
    }
    for (const scope of Object.keys(SECRETS) as (keyof typeof SECRETS)[])
      expect(registry.seen.some(({ authorization }) => authorization === header(scope))).toBe(true)
    expect(elsewhere.seen.length).toBeGreaterThan(0)
    expect(elsewhere.seen.map(({ authorization }) => authorization).filter(Boolean)).toEqual([])
    for (const secret of Object.values(SECRETS)) expect(said.join()).not.toContain(secret)
    // A blob may be mounted from another repository, with the secret of the one that it goes to.
    expect(registry.seen.some(({ path }) => path.includes("mount="))).toBe(true)
  })

  test("an error names the file and the way out, and no secret", async () => {
    await using other = await Sandbox.create()
    await mkdir(other.path("docker"))
    const stale = Buffer.from("team-a:expired-secret").toString("base64")
    await other.file("docker/config.json", { auths: { [`${registry.host}/team-a`]: { auth: stale } } })
    const { stdout, stderr } = await other.fails(
      ["pull", `${registry.host}/team-a/m:1`],
      "OVM_REGISTRY_UNAUTHORIZED",
      [other.path("docker/config.json"), `ovm logout ${registry.host}/team-a`],
    )
    for (const secret of ["expired-secret", stale]) expect(stdout + stderr).not.toContain(secret)
    await other.fails(["logout", registry.host], "OVM_CREDENTIALS_UNAVAILABLE", [
      `ovm logout ${registry.host}/team-a`,
    ])
    await other.ok(["logout", `${registry.host}/team-a`])
    expect(JSON.parse(await readFile(other.path("docker/config.json"), "utf8"))).toEqual({ auths: {} })
    await other.fails(["logout", "a/b/C"], "OVM_USAGE", ["a/b/C"])
  })

  const nobody = { PATH: process.env.PATH ?? "", OVM_HOME: "" }
  // A copy of the program, since this one may be in a folder of root's own.
  const asNobody = process.getuid?.() === 0 && existsSync(BUILT) ? test : test.skip
  asNobody.each([
    ["no home", {}],
    ["an empty one", { HOME: "" }],
    ["one that is not there", { HOME: "/nowhere/at/all" }],
    ["one of somebody else", { HOME: "LOCKED" }],
  ])("a user that the system does not know, with %s, pulls what is open", async (_, env) => {
    await using other = await Sandbox.create()
    await box.ok(["copy", `${registry.host}/team-a/m:1`, `${registry.host}/open/m:1`])
    const folder = await mkdir(other.path("root")).then(() => other.path("root"))
    await mkdir(other.path("locked/.docker"), { recursive: true })
    await chmod(other.directory, 0o755)
    await chmod(other.path("locked"), 0o700)
    await chown(folder, 54321, 0)
    await copyFile(BUILT, other.path("ovm"))
    await chmod(other.path("ovm"), 0o755)
    const home = Object.values(env).includes("LOCKED") ? { HOME: other.path("locked") } : env
    const run = Bun.spawn(
      [
        "setpriv",
        "--reuid",
        "54321",
        "--clear-groups",
        other.path("ovm"),
        "pull",
        `${registry.host}/open/m:1`,
      ],
      {
        cwd: "/",
        env: { ...nobody, OVM_HOME: folder, ...home } as Record<string, string>,
        stderr: "pipe",
        stdin: "ignore",
      },
    )
    const stderr = await new Response(run.stderr).text()
    expect({ status: await run.exited, stderr }).toMatchObject({ status: 0 })
  })
})
