import { expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { type Digest, digestOf } from "../content/digest.ts"
import { manifestOver } from "../content/store.testing.ts"

// What is acknowledged is on the disk, which others use as well.
setDefaultTimeout(240_000)

// A registry in a process of its own, which is killed while it works.

interface Child extends AsyncDisposable {
  call(method: string, path: string, init?: BunFetchRequestInit): Promise<Response>
  kill(): Promise<void>
}

function code(root: string): string {
  return `
    const { startRegistry } = await import(${JSON.stringify(join(import.meta.dir, "run.ts"))})
    const server = await startRegistry({
      hostname: "127.0.0.1", port: 0, source: { root: ${JSON.stringify(root)}, readOnly: false },
      log: (error) => console.error(error),
    })
    console.log(server.url)`
}

async function start(root: string): Promise<Child> {
  const child = Bun.spawn([process.execPath, "-e", code(root)], { stdout: "pipe", stderr: "inherit" })
  const { value } = await child.stdout.getReader().read()
  const url = new TextDecoder().decode(value).trim()
  const kill = async () => {
    child.kill("SIGKILL")
    await child.exited
  }
  return {
    call: (method, path, init = {}) => fetch(`${url}${path}`, { ...init, method }),
    kill,
    [Symbol.asyncDispose]: kill,
  }
}

async function inFolder(run: (root: string) => Promise<void>): Promise<void> {
  const root = await mkdtemp(join(tmpdir(), "ovm-serve-crash-"))
  try {
    await run(root)
  } finally {
    await rm(root, { recursive: true })
  }
}

test("kill -9 in the middle of an upload: it goes on where it was, and nothing else is left", () =>
  inFolder(async (root) => {
    const body = new Uint8Array(3_000_000).map((_, at) => at * 7 + (at >> 9))
    let location = ""
    {
      await using child = await start(root)
      location = (await child.call("POST", "/v2/a/blobs/uploads/")).headers.get("location") ?? ""
      const first = body.subarray(0, 1_000_000)
      expect((await child.call("PATCH", location, { body: first })).status).toBe(202)
      // A chunk that never ends: the registry dies with it.
      const rest = new ReadableStream({
        start: (controller) => controller.enqueue(body.subarray(1_000_000, 2_200_000)),
      })
      const broken = child.call("PATCH", location, { body: rest }).catch(() => undefined)
      const file = join(root, "repositories/a/_uploads", location.slice(location.lastIndexOf("/") + 1))
      await until("two megabytes that came", () => Bun.file(file).size, { is: (size) => size >= 2_000_000 })
      await child.kill()
      await broken
    }
    expect(await readdir(join(root, "blobs")).catch(() => [])).toEqual([])
    await using child = await start(root)
    const range = (await child.call("GET", location)).headers.get("range") ?? ""
    const at = Number(range.slice("0-".length)) + 1
    expect(at).toBeWithin(2_000_000, 2_200_001)
    const headers = { "Content-Range": `${at}-${body.byteLength - 1}` }
    const put = await child.call("PUT", `${location}?digest=${digestOf(body)}`, {
      body: body.subarray(at),
      headers,
    })
    expect(put.status).toBe(201)
    const answer = await child.call("GET", `/v2/a/blobs/${digestOf(body)}`)
    expect(digestOf(await answer.bytes())).toBe(digestOf(body))
    expect(await readdir(join(root, "tmp"))).toEqual([])
  }))

test("kill -9 at any moment loses nothing that was acknowledged and leaves no wrong blob", () =>
  inFolder(async (root) => {
    const acknowledged = new Map<string, Digest>()
    // On a busy host it may be killed before it has answered anything.
    for (let round = 0; round < 8 || acknowledged.size === 0; round++) {
      await using child = await start(root)
      for (const [path, digest] of acknowledged) {
        const answer = await child.call("GET", path)
        expect({ path, status: answer.status, digest: digestOf(await answer.bytes()) }).toEqual({
          path,
          status: 200,
          digest,
        })
      }
      const work = Array.from({ length: 4 }, (_, at) => pushes(child, `r${at}`, round, acknowledged))
      await Bun.sleep(20 + Math.random() * 60)
      await child.kill()
      await Promise.all(work)
      for (const name of await readdir(join(root, "blobs/sha256")).catch(() => []))
        expect(digestOf(await readFile(join(root, "blobs/sha256", name)))).toBe(`sha256:${name}`)
    }
    expect(acknowledged.size).toBeGreaterThan(0)
  }))

/** Pushes images until the registry dies; notes what it said it has. */
async function pushes(
  child: Child,
  repository: string,
  round: number,
  acknowledged: Map<string, Digest>,
): Promise<void> {
  try {
    for (let at = 0; ; at++) {
      const layer = `${repository} ${round} ${at} `.repeat(1 + Math.floor(Math.random() * 60_000))
      const digest = digestOf(layer)
      const pushed = await child.call("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
        body: layer,
      })
      if (pushed.status === 201) acknowledged.set(`/v2/${repository}/blobs/${digest}`, digest)
      const bytes = manifestOver([{ mediaType: "x/y", digest, size: layer.length }])
      const tagged = await child.call("PUT", `/v2/${repository}/manifests/t${round}-${at}`, { body: bytes })
      if (tagged.status === 201)
        acknowledged.set(`/v2/${repository}/manifests/t${round}-${at}`, digestOf(bytes))
    }
  } catch {
    // It was killed.
  }
}

const namespaces = spawnSync("unshare", ["-rm", "mount", "-t", "tmpfs", "none", tmpdir()]).status === 0
if (!namespaces) console.warn("skipped: a full disk needs user namespaces, which this machine does not give")

test.skipIf(!namespaces)("a full disk is a 507, and the upload stays as far as it came", () =>
  inFolder(async (mountPoint) => {
    const script = 'mount -t tmpfs -o size=2m none "$1" && exec "$2" -e "$3"'
    const body = `
      ${code(join(mountPoint, "registry")).replace("console.error(error)", "{ logged = error.code }")}
      const begun = await fetch(server.url + "/v2/a/blobs/uploads/", { method: "POST" })
      const location = server.url + begun.headers.get("location")
      const answer = await fetch(location, { method: "PATCH", body: new Uint8Array(4 << 20).fill(1) })
      const after = await fetch(location)
      console.log(JSON.stringify({
        status: answer.status, body: await answer.json(), logged, range: after.headers.get("range"),
      }))
      process.exit()`
    const child = Bun.spawn(
      ["unshare", "-rm", "sh", "-c", script, "sh", mountPoint, process.execPath, `let logged;${body}`],
      { stdout: "pipe", stderr: "inherit" },
    )
    const [, line = ""] = (await new Response(child.stdout).text()).split("\n")
    const result = JSON.parse(line)
    expect(result).toMatchObject({
      status: 507,
      body: { errors: [{ code: "OVM_NO_SPACE" }] },
      logged: "OVM_NO_SPACE",
    })
    expect(Number(result.range.slice(2)) + 1).toBeWithin(512 * 1024, 2 * 1024 * 1024)
  }),
)
