import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { still, until } from "@ovms/testkit/until.ts"
import type { Bytes } from "../content/interfaces.ts"
import type { OvmError } from "../errors.ts"
import type { Runtime } from "../runtime/interfaces.ts"
import type { LocalRuntime } from "../runtime/local.ts"
import { openRuntime } from "../runtime/runtime.testing.ts"
import { connect } from "./client.ts"
import { type Server, serve } from "./server.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

describe.skipIf(guestMissing !== "")(`the console both ways ${guestMissing}`, () => {
  let root: string
  let local: LocalRuntime
  let server: Server
  let runtime: Runtime
  let id: string

  const open = async () => {
    local = await openRuntime(root)
    server = await serve(local, join(root, "ovm.sock"))
    runtime = connect(join(root, "ovm.sock"))
  }
  const close = async () => {
    await server.close()
    await local.close()
  }

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-attach-"))
    await packGuest(join(root, "store"), "typed:1", "tick_ms=20 hlt=1")
    await open()
    id = (await runtime.start({ manifest: "typed:1" })).instance_id
    await until("that it runs", () => runtime.status(id), { is: ({ state }) => state === "running" })
  })
  afterAll(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    await close()
    await rm(root, { recursive: true })
  })

  const type = (attachment: string, words: string, to = id) =>
    runtime.type(to, { attachment, bytes: Buffer.from(words) })

  /** Reads on until `words` have come; it can be gone on from. */
  const read = async (bytes: AsyncIterator<Uint8Array>, words: string) => {
    let seen = ""
    while (!seen.includes(words)) {
      const { done, value } = await bytes.next()
      if (done) throw new Error(`the console ended: ${seen}`)
      seen += Buffer.from(value).toString()
    }
    return seen
  }
  /** As soon as whoever was attached before has gone. */
  const attach = async (attachment: string, more: { tail?: number; signal?: AbortSignal } = {}) => {
    const free = async () => {
      try {
        return await runtime.attach(id, { attachment, ...more })
      } catch (thrown) {
        if ((thrown as OvmError).code === "OVM_STATE_CONFLICT") return undefined
        throw thrown
      }
    }
    return iterate(await until("that it is free", free))
  }
  const iterate = (bytes: Bytes) => bytes[Symbol.asyncIterator]()

  // OVMS-API-240, OVMS-API-241
  test("what is typed comes to the guest, in the order of the requests, and what it says comes back", async () => {
    const console = await attach("a")
    await read(console, "GUEST-READY")
    for (const letter of "hello, world") await type("a", letter)
    await type("a", "\r\n")
    expect(await read(console, "ECHO [hello, world]")).not.toContain("ECHO [h]")
    await console.return?.()
  })

  // OVMS-API-074, OVMS-API-240
  test("it begins with so many lines as are asked for", async () => {
    const console = await attach("a", { tail: 2 })
    const seen = await read(console, "TICK")
    expect(seen).not.toContain("GUEST-READY")
    await console.return?.()
    await runtime.pause(id)
    const text = async (tail?: number) => {
      const found: Uint8Array[] = []
      for await (const bytes of await runtime.logs(id, tail === undefined ? {} : { tail })) found.push(bytes)
      return Buffer.concat(found).toString()
    }
    // What it said before comes through.
    const all = await still("its console", text)
    const lines = all.split(/(?<=\n)/)
    for (const tail of [0, 1, 2, 7, lines.length - 1, lines.length, 1_000_000])
      expect(await text(tail)).toBe(tail === 0 ? "" : lines.slice(-tail).join(""))
    await runtime.resume(id)
  })

  // OVMS-API-072, OVMS-API-075
  test("each line has when it came, and the console begins when it is told to", async () => {
    const lines = async (options: object) => {
      const found: Uint8Array[] = []
      for await (const bytes of await runtime.logs(id, options)) found.push(bytes)
      return Buffer.concat(found).toString().replace(/\n$/, "").split("\n")
    }
    const before = Date.now()
    await Bun.sleep(1500)
    await runtime.pause(id)
    await still("its console", () => lines({}))
    const timed = (await lines({ timestamps: true })).map(
      (line) => JSON.parse(line) as { time: string; text: string },
    )
    expect(timed.map(({ text }) => text)).toEqual((await lines({})).map((line) => line.replace(/\r$/, "")))
    const times = timed.map(({ time }) => Date.parse(time))
    expect(times).toEqual(times.toSorted((a, b) => a - b))
    // Each tick took some 20 ms, and notes are a tenth of a second apart.
    const late = times.filter((time) => time >= before)
    expect(late.length).toBeGreaterThan(10)
    expect(late.length).toBeLessThan(times.length)
    expect((times.at(-1) ?? 0) - before).toBeGreaterThan(1000)
    const since = new Date(before + 500).toISOString()
    const some = await lines({ since, timestamps: true })
    expect(some.length).toBeLessThan(late.length)
    expect(some.length).toBeGreaterThan(0)
    for (const line of some) expect(Date.parse(JSON.parse(line).time)).toBeGreaterThanOrEqual(before + 500)
    expect(await lines({ since: new Date(Date.now() + 5000).toISOString() })).toEqual([""])
    expect((await refusal(runtime.logs(id, { since: "yesterday" }))).code).toBe("OVM_REQUEST_INVALID")
    await runtime.resume(id)
  })

  // OVMS-API-242, OVMS-API-243
  test("one at a time has the keyboard, and the next one as soon as it was left", async () => {
    const first = await attach("first")
    const watched = iterate(await runtime.logs(id, { follow: true }))
    const error = await refusal(runtime.attach(id, { attachment: "second" }))
    expect([error.code, error.message]).toEqual(["OVM_STATE_CONFLICT", expect.stringContaining("another")])
    for (const name of ["second", "firs", "toString"])
      expect((await refusal(type(name, "not me\r\n"))).code).toBe("OVM_STATE_CONFLICT")
    await type("first", "but me\r\n")
    for (const console of [first, watched]) expect(await read(console, "but me")).not.toContain("not me")
    await first.return?.()
    const second = await attach("second")
    await type("second", "now me\r\n")
    await read(second, "now me")
    expect((await refusal(type("first", "x"))).code).toBe("OVM_STATE_CONFLICT")
    expect(await read(watched, "now me")).toContain("now me")
    await second.return?.()
    await watched.return?.()
  })

  // OVMS-API-241
  test("a client that goes away leaves the keyboard, and so does a daemon", async () => {
    const gone = new AbortController()
    await attach("a", { signal: gone.signal })
    gone.abort()
    await read(await attach("b"), "TICK")
    await close()
    await open()
    await until("that it is adopted", () => runtime.status(id), { is: (info) => info.reachable !== false })
    const after = await attach("c", { tail: 0 })
    await type("c", "after all\r\n")
    expect(await read(after, "ECHO [after all]")).toContain("after all")
    await after.return?.()
  })

  // OVMS-API-244
  test("a guest that stands still holds up nobody that types", async () => {
    await runtime.pause(id)
    const console = await attach("a")
    await read(console, "TICK")
    const gone = AbortSignal.timeout(500)
    const sent = (async () => {
      for (let times = 0; times < 40; times++)
        await runtime.type(id, { attachment: "a", bytes: Buffer.alloc(60_000), signal: gone })
    })()
    await expect(sent).rejects.toThrow()
    expect((await runtime.health()).status).toBe("ok")
    await console.return?.()
    await runtime.resume(id)
  })

  // OVMS-API-242, OVMS-API-245
  test("it ends with the machine, and nobody attaches to one that has ended, or has no input", async () => {
    const { instance_id } = await runtime.start({ manifest: "typed:1" })
    await until("that it runs", () => runtime.status(instance_id), { is: ({ state }) => state === "running" })
    const console = await runtime.attach(instance_id, { attachment: "a" })
    const words = (async () => {
      for await (const bytes of console)
        if (Buffer.from(bytes).includes("TICK 3")) await type("a", "quit\r\n", instance_id)
    })()
    await words
    await until("its end", () => runtime.status(instance_id), { is: ({ state }) => state !== "running" })
    expect((await refusal(runtime.attach(instance_id, { attachment: "b" }))).code).toBe("OVM_STATE_CONFLICT")
    expect((await refusal(runtime.attach("nobody", { attachment: "b" }))).code).toBe("OVM_INSTANCE_UNKNOWN")
    await rm(join(root, "instances", id, "console.sock"))
    const error = await until("that it is free", () => refusal(runtime.attach(id, { attachment: "b" })), {
      is: ({ code }) => code !== "OVM_STATE_CONFLICT",
    })
    expect([error.code, error.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("type")])
  })

  test("an attachment that is no name, and a tail that is no number, are refused", async () => {
    for (const attachment of ["", "a b", "x".repeat(65), "ä"])
      expect((await refusal(runtime.attach(id, { attachment }))).code).toBe("OVM_REQUEST_INVALID")
    expect((await refusal(runtime.attach(id, { attachment: "a", tail: -1 }))).code).toBe(
      "OVM_REQUEST_INVALID",
    )
    expect((await refusal(type("a", "x".repeat(70_000)))).code).toBe("OVM_REQUEST_TOO_LARGE")
  })
})
