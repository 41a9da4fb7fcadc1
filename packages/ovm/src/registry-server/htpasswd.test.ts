import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openRepository } from "@ovms/testkit/repository.ts"
import { failure, pushBytes, text } from "../content/store.testing.ts"
import { parseReference } from "../registry/reference.ts"
import { Htpasswd } from "./htpasswd.ts"
import { expectError, startTest, type TestRegistry } from "./registry.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

/** As `htpasswd -B` writes it. */
async function line(user: string, password: string): Promise<string> {
  const hash = await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })
  return `${user}:${hash.replace(/^\$2b/, "$2y")}\n`
}

async function inFolder(run: (file: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-htpasswd-"))
  try {
    await run(join(folder, "users"))
  } finally {
    await rm(folder, { recursive: true })
  }
}

const basic = (credentials: string) => ({
  Authorization: `Basic ${Buffer.from(credentials).toString("base64")}`,
})
const ask = (registry: TestRegistry, headers: Record<string, string> = {}) =>
  registry.call("GET", "/v2/", { headers })

describe("with a password file", () => {
  test("only its users get in, everywhere", () =>
    inFolder(async (htpasswd) => {
      await writeFile(htpasswd, `# users\n\n${await line("robot", "se:cret")}${await line("ünal", "grüße")}`)
      await using registry = await startTest({ htpasswd })
      for (const credentials of ["robot:se:cret", "ünal:grüße"])
        expect((await ask(registry, basic(credentials))).status).toBe(200)
      // Each twice: the second answer comes from memory.
      for (const credentials of ["robot:wrong", "robot:wrong", "nobody:se:cret", "robot", ":", "", "robot:"])
        await expectError(await ask(registry, basic(credentials)), 401, "UNAUTHORIZED")
      for (const header of ["Basic", "Basic !!!", "Bearer abc", `Basic ${"A".repeat(9000)}`])
        await expectError(await ask(registry, { Authorization: header }), 401, "UNAUTHORIZED")
      for (const [method, path] of [
        ["GET", "a/tags/list"],
        ["POST", "a/blobs/uploads/"],
        ["GET", "_catalog"],
        ["DELETE", "a/manifests/x"],
        ["GET", "/elsewhere"],
      ] as const) {
        const answer = await registry.call(method, path)
        expect(answer.headers.get("www-authenticate")).toStartWith("Basic realm=")
        await expectError(answer, 401, "UNAUTHORIZED")
      }
      expect(registry.errors).toEqual([])
    }))

  test("our own client logs in", () =>
    inFolder(async (htpasswd) => {
      await writeFile(htpasswd, await line("robot", "secret"))
      await using registry = await startTest({ htpasswd })
      const reference = parseReference(`${registry.host}/a`)
      const open = (password: string) =>
        openRepository(reference, { credentials: { get: async () => ({ username: "robot", password }) } })
      const target = await pushBytes(open("secret"), text("content"))
      expect(await open("secret").exists(target)).toBe(true)
      await failure(open("wrong").exists(target), "OVM_REGISTRY_UNAUTHORIZED")
    }))

  test("a change counts at once", () =>
    inFolder(async (htpasswd) => {
      await writeFile(htpasswd, await line("old", "secret"))
      await using registry = await startTest({ htpasswd })
      expect((await ask(registry, basic("old:secret"))).status).toBe(200)
      await writeFile(htpasswd, await line("newer", "secret"))
      expect((await ask(registry, basic("old:secret"))).status).toBe(401)
      expect((await ask(registry, basic("newer:secret"))).status).toBe(200)
    }))

  test("one that cannot be used is refused with its line", () =>
    inFolder(async (htpasswd) => {
      const error = await failure(startTest({ htpasswd }), "OVM_FILE_UNREADABLE")
      expect(error.message).toContain(htpasswd)
      for (const bad of ["robot:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "robot:secret", "no colon", ":$2y$05$"]) {
        await writeFile(htpasswd, `${await line("good", "x")}${bad}\n`)
        const refused = await failure(Htpasswd.open(htpasswd), "OVM_USAGE")
        expect(refused.message).toContain(`${htpasswd}: line 2`)
        expect(refused.message).not.toContain("secret")
      }
    }))
})
