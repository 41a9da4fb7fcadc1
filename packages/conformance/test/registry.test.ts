import { afterEach, expect, test } from "bun:test"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Fault } from "../src/registry/serve.ts"
import { Registry } from "../src/registry/server.ts"
import { OVM, report } from "./bed.ts"

const open: Registry[] = []
afterEach(async () => {
  for (const registry of open.splice(0)) await registry.close()
})

/** The verdict on the suite's own registry, with one fault. */
async function verdict(check: string, fault: Fault, manners: object = {}) {
  const registry = await Registry.start()
  open.push(registry)
  Object.assign(registry.manners, manners, { fault })
  const { results } = await report(["registry", `http://${registry.host}`, "--only", check])
  return results.find(({ name }) => name === check)
}

const withPath =
  (method: string, path: string, answer: (response: Parameters<Fault>[1]) => void): Fault =>
  (request, response, at) => {
    if (request.method !== method || !at.includes(path)) return false
    request.resume()
    answer(response)
    return true
  }

interface List {
  manifests: { artifactType?: string; size?: number }[]
}

/** Changes lists of referrers, or has none where that is false. */
function listed(edit: (list: List, url: string) => unknown, headers: object = {}): Fault {
  return (request, response, path) => {
    if (!path.includes("/referrers/")) return false
    const { end } = response
    let head: readonly [number, object] = [200, {}]
    Object.assign(response, {
      writeHead: (...given: [number, object]) => {
        head = given
        return response
      },
      end: (body: string) => {
        const list = JSON.parse(body)
        const found = edit(list, request.url ?? "") !== false
        const { "content-length": _, ...rest } = head[1] as Record<string, unknown>
        delete (response as { writeHead?: unknown }).writeHead
        response.writeHead(found ? head[0] : 404, { ...rest, ...headers } as Record<string, string>)
        return end.call(response, found ? JSON.stringify(list) : "{}", "utf8")
      },
    })
    return false
  }
}

/** Takes what is asked for from somewhere on for its beginning. */
const beginning: Fault = (request) => {
  if (request.headers.range?.endsWith("-")) request.headers.range = "bytes=0-999"
  return false
}

/** Answers one of the blobs with another one, once there are several. */
function mixing(): Fault {
  const places = new Set<string>()
  return (request, response, path) => {
    if (request.method !== "GET" || !path.includes("/blobs/sha256:")) return false
    places.add(path)
    const [first] = places
    if (path === first) return false
    response.writeHead(307, { location: first }).end()
    return true
  }
}

test.each([
  [
    "changes what it is given",
    "registry/artifact",
    withPath("GET", "/blobs/", (r) => r.end("something else")),
  ],
  ["takes any digest", "registry/wrong-digest", withPath("PUT", "/blobs/", (r) => r.writeHead(201).end())],
  [
    "forgets how tags move",
    "registry/tag-moves",
    withPath("PUT", "/manifests/latest", (r) => r.writeHead(201).end()),
  ],
  ["knows everything", "registry/unknown", withPath("GET", "/manifests/absent", (r) => r.end("{}"))],
  ["refuses subjects", "registry/subject", withPath("PUT", "/manifests/1", (r) => r.writeHead(400).end())],
  [
    "changes manifests",
    "registry/artifact",
    withPath("GET", "/manifests/", (r) => r.end('{"schemaVersion":2}')),
  ],
  [
    "says another digest by HEAD",
    "registry/artifact",
    withPath("HEAD", "/manifests/", (r) => r.writeHead(200, { "docker-content-digest": "sha256:0" }).end()),
  ],
  [
    "has no HEAD of manifests",
    "registry/artifact",
    withPath("HEAD", "/manifests/", (r) => r.writeHead(405).end()),
  ],
  [
    "says another size by HEAD",
    "registry/artifact",
    withPath("HEAD", "/manifests/", (r) => r.writeHead(200, { "content-length": 7 }).end()),
  ],
  [
    "has no list of what nothing refers to",
    "registry/referrers",
    listed(({ manifests }) => manifests.length > 0),
  ],
  ["lists the first snapshot alone", "registry/referrers", listed((list) => list.manifests.splice(1))],
  [
    "lists other sizes",
    "registry/referrers",
    listed(({ manifests }) => manifests.map((one) => Object.assign(one, { size: 1 }))),
  ],
  [
    "lists no types",
    "registry/referrers",
    listed(({ manifests }) => manifests.map((one) => delete one.artifactType)),
  ],
  [
    "filters by nothing, and says that it did",
    "registry/referrers",
    listed(() => true, { "oci-filters-applied": "artifactType" }),
  ],
  ["mixes what comes at once", "registry/blobs-at-once", mixing()],
  ["answers the end of a blob with its beginning", "registry/ranges", beginning],
  ["answers another range", "registry/ranges", withPath("GET", "/blobs/", (r) => r.writeHead(206).end("x"))],
] as const)("a registry that %s is caught", async (_, check, fault) => {
  expect(await verdict(check, fault)).toMatchObject({ verdict: "fail" })
})

test("what a registry may do without is a skip, with what is done then", async () => {
  const none: Fault = () => false
  expect(await verdict("registry/referrers", none, { referrers: false })).toMatchObject({ verdict: "skip" })
  const whole: Fault = (request) => {
    delete request.headers.range
    return false
  }
  expect(await verdict("registry/ranges", whole)).toMatchObject({ verdict: "skip" })
})

test("the embedded registry carries all of it", async () => {
  const home = await mkdtemp(join(tmpdir(), "ovms-serve-"))
  const serving = spawn(
    OVM,
    ["registry", "serve", "--address", "127.0.0.1:0", "--root", join(home, "root")],
    {
      env: { ...process.env, OVM_HOME: home },
      stdio: ["ignore", "pipe", "pipe"],
    },
  )
  try {
    let said = ""
    for (const stream of [serving.stdout, serving.stderr]) stream.on("data", (text) => (said += text))
    while (!/127\.0\.0\.1:\d+/.test(said)) {
      expect(serving.exitCode).toBeNull()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const [host] = /127\.0\.0\.1:\d+/.exec(said) ?? []
    const { results } = await report(["registry", `http://${host}`])
    const wrong = results.filter(({ verdict }) => verdict !== "pass")
    expect(wrong.map(({ name, reason }) => `${name}: ${reason}`)).toEqual([])
    expect(results.length).toBeGreaterThanOrEqual(15)
  } finally {
    const ended = once(serving, "exit")
    serving.kill("SIGTERM")
    await ended
    await rm(home, { recursive: true, force: true })
  }
})
