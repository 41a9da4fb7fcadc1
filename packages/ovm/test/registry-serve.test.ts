import { describe, expect, setDefaultTimeout, test } from "bun:test"
import type { ChildProcess } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { finished, Sandbox } from "./sandbox.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

// `ovm registry serve` as its users see it.

interface Serving extends AsyncDisposable {
  readonly address: string
  readonly line: Record<string, unknown>
  /** Ends it as a user does and says how it went. */
  end(): Promise<{ status: number; stderr: string }>
}

async function serve(box: Sandbox, ...args: string[]): Promise<Serving> {
  const child = box.begin(["registry", "serve", "--address", "127.0.0.1:0", "--json", ...args])
  const ended = finished(child)
  const line = await Promise.race([
    firstLine(child),
    ended.then(({ stderr }) => Promise.reject(new Error(stderr))),
  ])
  const end = () => {
    child.kill("SIGTERM")
    return ended
  }
  const { address } = line
  return { address: String(address), line, end, [Symbol.asyncDispose]: async () => void (await end()) }
}

function firstLine(child: ChildProcess): Promise<Record<string, unknown>> {
  return new Promise((resolve) => {
    let text = ""
    child.stdout?.on("data", (chunk) => {
      text += chunk
      if (text.includes("\n")) resolve(JSON.parse(text))
    })
  })
}

describe("ovm registry serve", () => {
  test("keeps what is pushed, from one run to the next, and ends with status 0", async () => {
    await using box = await Sandbox.create()
    const blob = `sha256:${new Bun.CryptoHasher("sha256").update("content").digest("hex")}`
    {
      await using registry = await serve(box)
      expect(registry.line).toEqual({
        address: registry.address,
        url: `http://${registry.address}`,
        root: `${box.home}/registry`,
        read_only: false,
      })
      const url = `http://${registry.address}/v2/a/blobs/uploads/?digest=${blob}`
      expect((await fetch(url, { method: "POST", body: "content" })).status).toBe(201)
      expect(await registry.end()).toMatchObject({ status: 0, stderr: "" })
    }
    await using registry = await serve(box, "--read-only", "--verbose")
    expect(registry.line).toMatchObject({ read_only: true })
    expect(await (await fetch(`http://${registry.address}/v2/a/blobs/${blob}`)).text()).toBe("content")
    expect((await fetch(`http://${registry.address}/v2/a/blobs/${blob}`, { method: "DELETE" })).status).toBe(
      405,
    )
    const { stderr } = await registry.end()
    expect(stderr).toMatch(new RegExp(`^\\S+ 127\\.0\\.0\\.1 GET /v2/a/blobs/${blob} 200 \\d+ ms\n`))
    expect(stderr).toContain(" DELETE ")
  })

  test("says in one line where it is", async () => {
    await using box = await Sandbox.create()
    const child = box.begin(["registry", "serve", "--address", "127.0.0.1:0", "--root", box.path("r")])
    const ended = finished(child)
    await new Promise((resolve) => child.stdout?.once("data", resolve))
    child.kill("SIGINT")
    const { status, stdout } = await ended
    expect(status).toBe(0)
    expect(stdout).toMatch(/^serving \S+\/r at http:\/\/127\.0\.0\.1:\d+\n$/)
  })

  test("serves this host's images to another one", async () => {
    await using box = await Sandbox.create()
    await using other = await Sandbox.create()
    const disk = await box.file("disk.raw", new Uint8Array(1 << 20))
    await box.ok(["pack", "-t", "registry.example.com/machines/tiny:1", "--layer", disk])
    await using registry = await serve(box, "--store")
    const name = `${registry.address}/machines/tiny:1`
    await other.ok(["pull", name])
    const [mine] = await box.json(["images"])
    const [pulled] = await other.json(["images"])
    expect(pulled).toMatchObject({ digest: mine.digest })
    await other.fails(["push", name], "OVM_REGISTRY_FAILED", ["read-only"])
  })

  test("asks for a password where it is told to", async () => {
    await using box = await Sandbox.create()
    const hash = await Bun.password.hash("secret", { algorithm: "bcrypt", cost: 4 })
    const users = await box.file("users", `robot:${hash}\n`)
    await using registry = await serve(box, "--htpasswd", users)
    const login = ["login", registry.address, "-u", "robot", "--password-stdin"]
    await box.fails(login, "OVM_REGISTRY_UNAUTHORIZED", [registry.address], { input: "wrong" })
    await box.ok(login, { input: "secret" })
  })

  test("says why it cannot begin", async () => {
    await using box = await Sandbox.create()
    await using registry = await serve(box)
    const begin = ["registry", "serve", "--address"]
    await box.fails([...begin, "127.0.0.1:0"], "OVM_STORE_BUSY", [`${box.home}/registry`, "--root"])
    const free = ["--root", box.path("free")]
    await box.fails([...begin, registry.address, ...free], "OVM_USAGE", [registry.address, "--address"])
    await box.fails([...begin, "127.0.0.1", ...free], "OVM_USAGE", ["127.0.0.1", "HOST:PORT"])
    await box.fails([...begin, "127.0.0.1:70000", ...free], "OVM_USAGE", ["70000"])
    await box.fails([...begin, "127.0.0.1:0", "--tls-cert", "x"], "OVM_USAGE", ["--tls-key"])
    await box.fails([...begin, "127.0.0.1:0", "--store", ...free], "OVM_USAGE", ["--store", "--root"])
    await box.fails([...begin, "127.0.0.1:0", "--htpasswd", box.path("none")], "OVM_FILE_UNREADABLE", [
      "none",
    ])
    await writeFile(box.path("users"), "robot:plain")
    await box.fails([...begin, "127.0.0.1:0", "--htpasswd", box.path("users")], "OVM_USAGE", [
      "users: line 1",
    ])
    await box.fails(["registry", "sevre"], "OVM_USAGE", ["sevre"])
  })

  test("warns of being open to others, which it is only when told", async () => {
    await using box = await Sandbox.create()
    for (const address of ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "127.evil.example:0"])
      await box.fails(["registry", "serve", "--address", address], "OVM_USAGE", [
        address.replace(/[[\]]|:0$/g, ""),
        "--htpasswd",
        "--allow-anonymous",
      ])
    await box.fails(["registry", "serve", "--upload-quota", "much"], "OVM_USAGE", ["--upload-quota"])
    const child = box.begin(["registry", "serve", "--address", "0.0.0.0:0", "--allow-anonymous"])
    const ended = finished(child)
    await new Promise((resolve) => child.stdout?.once("data", resolve))
    child.kill("SIGTERM")
    const { stderr } = await ended
    expect(stderr).toMatch(/^warning: .*replace everything.*--htpasswd\n$/)
  })
})
