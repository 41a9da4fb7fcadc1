import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { startFaults } from "@ovms/testkit/faults.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { startRegistry } from "../src/registry-server/run.ts"
import { Sandbox } from "./sandbox.ts"

// Each step is a process of its own, on a machine that may be busy.
setDefaultTimeout(240_000)

// What a terminal shows of work that takes long: how much, how fast, how long still, and what need not be transferred.

if (guestMissing) console.log(`SKIP packages/ovm/test/progress.test.ts: ${guestMissing}`)

describe.skipIf(Boolean(guestMissing))("on a terminal", () => {
  let box: Sandbox
  let registry: Awaited<ReturnType<typeof startRegistry>>

  beforeAll(async () => {
    box = await Sandbox.create()
    const source = { root: box.path("registry"), readOnly: false }
    registry = await startRegistry({ hostname: "127.0.0.1", port: 0, source, log: () => {} })
    const disk = await box.file("disk.raw", randomBytes(6 << 20))
    const diskLayers = [{ path: disk, format: "raw" as const }]
    await packGuest(join(box.home, "store"), "demo:1", "off=1", { diskLayers })
  })
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]()
    await box?.[Symbol.asyncDispose]()
  })

  /** What a command shows there, once it has succeeded. */
  async function shown(host: Sandbox, ...args: string[]): Promise<string> {
    const { status, output } = await host.onTerminal(args)
    expect({ status, output }).toMatchObject({ status: 0 })
    return output
  }

  test("pack, save and load show each file or blob up to its end", async () => {
    await using other = await Sandbox.create()
    const packed = await shown(other, "pack", "--layer", box.path("disk.raw"), "-t", "packed:1")
    expect(packed).toMatch(/disk\.raw .* 100% {2}6 MiB of 6 MiB/)
    const saved = await shown(box, "save", "-o", "demo.tar", "demo:1")
    expect(saved).toMatch(/ 100% {2}6 MiB of 6 MiB/)
    const loaded = await shown(other, "load", "-i", box.path("demo.tar"), "--name", "demo:1")
    expect(loaded).toMatch(/6 MiB, there already/)
    expect(loaded).toMatch(/ 100% /)
    expect(await other.ok(["images"])).toContain("demo")
  })

  test("push tells a mount, and what is there, from a transfer", async () => {
    const host = registry.address
    const push = async (repository: string) => {
      await box.ok(["tag", "demo:1", `${host}/${repository}`])
      return shown(box, "push", "--plain-http", `${host}/${repository}`)
    }
    expect(await push("first:1")).toMatch(/disk0\.raw .* 100% {2}6 MiB of 6 MiB/)
    const mounted = await push("second:1")
    expect(mounted).toMatch(/disk0\.raw +6 MiB, mounted from another repository/)
    expect(mounted).not.toContain("100%")
    const there = await push("second:2")
    expect(there).toMatch(/disk0\.raw +6 MiB, there already/)
    expect(there).not.toContain("100%")
  })

  test("a slow pull says how fast it is, and how long it takes still", async () => {
    await using slow = startFaults(async ({ request, forward }) => {
      const answer = await forward()
      return /\/blobs\//.test(request.url) && request.method === "GET" ? slowed(answer) : answer
    }, registry.address)
    await using other = await Sandbox.create()
    const pulled = await shown(other, "pull", "--plain-http", `${slow.host}/first:1`)
    expect(pulled).toMatch(/disk0\.raw .* \d+% {2}\S+ \S+ of 6 MiB {2}\S+ [KM]iB\/s {2}\d+ (s|min) left/)
    expect(pulled).toMatch(/disk0\.raw .* 100% {2}6 MiB of 6 MiB {2}\S+ [KM]iB\/s/)
    expect(await shown(other, "pull", "--plain-http", `${slow.host}/first:1`)).toContain("up to date")
  })
})

/** A body in sixteen pieces, some time apart. */
async function slowed(answer: Response): Promise<Response> {
  const bytes = new Uint8Array(await answer.arrayBuffer())
  const piece = Math.ceil(bytes.byteLength / 16)
  const body = new ReadableStream({
    async start(controller) {
      for (let at = 0; at < bytes.byteLength; at += piece) {
        controller.enqueue(bytes.subarray(at, at + piece))
        await Bun.sleep(60)
      }
      controller.close()
    },
  })
  return new Response(body, { status: answer.status, headers: answer.headers })
}
