import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Certificates, makeCertificates, opensslMissing } from "@ovms/testkit/certificates.ts"
import { startFaults } from "@ovms/testkit/faults.ts"
import { findPeer, type RegistryProgram, startRegistry } from "@ovms/testkit/registry.ts"
import { bytesOf } from "../../content/read.ts"
import { collect, describeBytes, failure, text } from "../../content/store.testing.ts"
import { connectRepository } from "../connect.ts"
import { parseReference } from "../reference.ts"
import { parseSettings } from "./settings.ts"

// TLS as registries have it: found out on this host, by authorities of one's own, and behind a proxy that does it for
// them.

if (opensslMissing) console.log(`SKIP packages/ovm/src/registry/transport/tls.test.ts: ${opensslMissing}`)

const BLOB = text("a blob that is asked for")
const TARGET = describeBytes(BLOB)

const open = (host: string, settings: object = {}, plainHttp?: boolean) =>
  connectRepository(parseReference(`${host}/a/b:v1`), {
    settings: parseSettings(JSON.stringify({ registries: { [host]: settings } }), "/etc/registries.json"),
    credentials: { get: async () => undefined },
    onWarning: () => {},
    ...(plainHttp !== undefined && { plainHttp }),
  })

describe.skipIf(Boolean(opensslMissing))("TLS", () => {
  let made: Certificates
  let files: { cert: string; key: string }
  beforeAll(async () => {
    made = await makeCertificates()
    files = { cert: await readFile(made.server.cert, "utf8"), key: await readFile(made.server.key, "utf8") }
  })
  afterAll(async () => {
    await made?.[Symbol.asyncDispose]()
  })

  const serve = (answer: (request: Request) => Response | Promise<Response>) =>
    Bun.serve({ hostname: "127.0.0.1", port: 0, tls: files, fetch: answer })

  // Go answers HTTP on such a port with 400 and a sentence, others break the connection.
  const programs: RegistryProgram[] = ["docker-registry", "distribution"]
  test.each(programs.filter((name) => findPeer(name)))(
    "%s on this host is found to speak it",
    async (program) => {
      await using registry = await startRegistry({ program, tls: made.server })
      const store = await open(registry.host, { ca: made.ca })
      await store.push(TARGET, bytesOf(BLOB))
      expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
      const stranger = await open(registry.host)
      const error = await failure(stranger.fetch(TARGET), "OVM_REGISTRY_UNREACHABLE")
      expect(error.message).toContain("by no authority that is trusted here")
      expect(error.hint).toContain(`"ca": "FILE.pem" for ${registry.host} in registries.json`)
      await failure((await open(registry.host, {}, true)).fetch(TARGET), "OVM_REGISTRY_FAILED")
    },
  )

  test("so is one that breaks the connection, and several requests at once", async () => {
    const registry = serve(() => new Response(BLOB))
    try {
      const store = await open(`127.0.0.1:${registry.port}`, { ca: made.ca })
      const all = await Promise.all([1, 2, 3].map(() => collect(store.fetch(TARGET))))
      expect(new Set(all)).toEqual(new Set(["a blob that is asked for"]))
    } finally {
      await registry.stop(true)
    }
  })

  // OVMS-DST-020
  test("one without TLS is asked without, and is told of where TLS was wanted", async () => {
    await using registry = startFaults(() => new Response(BLOB))
    expect(await collect((await open(registry.host)).fetch(TARGET))).toBe("a blob that is asked for")
    expect(registry.seen).toHaveLength(1)
    const secure = await open(registry.host, { plainHttp: false })
    const error = await failure(secure.fetch(TARGET), "OVM_REGISTRY_UNREACHABLE")
    expect(error.message).toContain("it speaks no TLS")
    expect(error.hint).toContain('"plainHttp": true')
  })

  test("an authority of another is named with the file that it should have been in", async () => {
    await using other = await makeCertificates()
    const registry = serve(() => new Response(BLOB))
    try {
      const store = await open(`localhost:${registry.port}`, { ca: other.ca })
      const error = await failure(store.fetch(TARGET), "OVM_REGISTRY_UNREACHABLE")
      expect(error.message).toContain(`nor by one in ${other.ca}`)
    } finally {
      await registry.stop(true)
    }
  })

  test("a `ca` without a certificate in it is refused", async () => {
    const error = await failure(open("r.example", { ca: made.server.key }), "OVM_SETTINGS_INVALID")
    expect(error.message).toContain(made.server.key)
  })

  // Both authorities must be trusted at once: that of the settings, and that of the environment.
  test.each(["SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"])("`ca` is added to %s", async (name) => {
    await using other = await makeCertificates()
    const folder = await mkdtemp(join(tmpdir(), "ovm-authorities-"))
    const registry = serve(() => new Response(BLOB))
    try {
      await mkdir(join(folder, "certs"))
      await copyFile(made.ca, join(folder, "certs/company.pem"))
      await writeFile(join(folder, "certs/README"), "no certificate")
      const script = join(folder, "ask.ts")
      const host = `127.0.0.1:${registry.port}`
      await writeFile(
        script,
        `const { connectRepository } = await import(${JSON.stringify(join(import.meta.dir, "../connect.ts"))})
         const { parseSettings } = await import(${JSON.stringify(join(import.meta.dir, "settings.ts"))})
         const { parseReference } = await import(${JSON.stringify(join(import.meta.dir, "../reference.ts"))})
         const settings = parseSettings(${JSON.stringify(JSON.stringify({ registries: { [host]: { ca: other.ca } } }))}, "/x")
         const store = await connectRepository(parseReference("${host}/a/b"), { settings })
         for await (const chunk of await store.fetch(${JSON.stringify(TARGET)})) process.stdout.write(chunk)`,
      )
      const value = name === "SSL_CERT_DIR" ? join(folder, "certs") : made.ca
      const { SSL_CERT_FILE, SSL_CERT_DIR, NODE_EXTRA_CA_CERTS, ...env } = process.env
      const run = async (more: Record<string, string>) => {
        const child = Bun.spawn([process.execPath, script], { env: { ...env, ...more }, stderr: "pipe" })
        return `${await new Response(child.stdout).text()}${await new Response(child.stderr).text()}`
      }
      expect(await run({ [name]: value })).toBe("a blob that is asked for")
      expect(await run({})).toContain("by no authority that is trusted here")
    } finally {
      await registry.stop(true)
      await rm(folder, { recursive: true })
    }
  })

  describe("behind a proxy that does not tell the registry (OVMS-OCI-091)", () => {
    test.skipIf(!findPeer("distribution"))("its own host is asked with TLS all the same", async () => {
      await using registry = await startRegistry({ program: "distribution" })
      const locations: string[] = []
      const proxy: Bun.Server<undefined> = serve(async (request) => {
        const { pathname, search } = new URL(request.url)
        const headers = new Headers(request.headers)
        headers.set("Host", `127.0.0.1:${proxy.port}`)
        const body = ["GET", "HEAD"].includes(request.method) ? undefined : await request.arrayBuffer()
        const answer = await fetch(`http://${registry.host}${pathname}${search}`, {
          method: request.method,
          headers,
          redirect: "manual",
          decompress: false,
          ...(body && { body }),
        })
        const location = answer.headers.get("location")
        if (location) locations.push(location)
        return request.method === "HEAD"
          ? new Response(null, answer)
          : new Response(await answer.arrayBuffer(), answer)
      })
      try {
        const store = await open(`127.0.0.1:${proxy.port}`, { ca: made.ca })
        await store.push(TARGET, bytesOf(BLOB))
        expect(await collect(store.fetch(TARGET))).toBe("a blob that is asked for")
        expect(locations[0]).toStartWith(`http://127.0.0.1:${proxy.port}/`)
      } finally {
        await proxy.stop(true)
      }
    })

    test("another place without TLS is not followed, and the words say why", async () => {
      await using elsewhere = startFaults(() => new Response(BLOB))
      for (const location of [`http://${elsewhere.host}/x`, "http://other.example/x"]) {
        const registry = serve(({ method }) =>
          method === "POST"
            ? new Response(null, { status: 202, headers: { Location: location } })
            : method === "HEAD"
              ? new Response(null, { status: 404 })
              : Response.redirect(location, 307),
        )
        try {
          const store = await open(`127.0.0.1:${registry.port}`, { ca: made.ca })
          for (const work of [store.fetch(TARGET), store.push(TARGET, bytesOf(BLOB))]) {
            const error = await failure(work, "OVM_REGISTRY_FAILED")
            expect(error.message).toContain(new URL(location).host)
            expect(error.message).toContain("away from TLS")
            expect(error.hint).toContain("X-Forwarded-Proto")
          }
        } finally {
          await registry.stop(true)
        }
      }
      expect(elsewhere.seen).toEqual([])
    })
  })
})
