import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { closeSync, openSync, readdirSync, rmSync, writeSync } from "node:fs"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { collectGarbage } from "../content/layout/gc.ts"
import { openLayout } from "../content/layout/store.ts"
import { OvmError } from "../errors.ts"
import { availableVmms } from "../vmm/available.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

setDefaultTimeout(240_000)

const missing = guestMissing || mountMissing

// OVMS-STA-027
describe.skipIf(missing !== "")(`on a full disk ${missing}`, () => {
  let outside: string
  let root: string
  let runtime: LocalRuntime

  const open = async () => {
    runtime = await openRuntime(root, { vmms: availableVmms(join(outside, "cache")) })
  }
  const until = async (id: string, done: (info: InstanceInfo) => boolean) => {
    for (;;) {
      const info = await runtime.status(id)
      if (done(info)) return info
      await Bun.sleep(10)
    }
  }
  const start = async () => {
    const { instance_id } = await runtime.start({ manifest: "long" })
    await until(instance_id, ({ state }) => state === "running")
    return instance_id
  }
  /** To the last byte. */
  const fill = () => {
    const fd = openSync(join(root, "ballast"), "a")
    for (let size = 1 << 20; size > 0; )
      try {
        writeSync(fd, Buffer.alloc(size, 1))
      } catch {
        size >>= 1
      }
    closeSync(fd)
  }
  const makeRoom = () => rmSync(join(root, "ballast"), { force: true })

  beforeAll(async () => {
    outside = await mkdtemp(join(tmpdir(), "ovm-full-"))
    root = join(outside, "root")
  })
  afterAll(() => rm(outside, { recursive: true }))

  const onTmpfs = (name: string, work: () => Promise<void>, inodes?: number) =>
    test(name, () =>
      withTmpfs(
        root,
        64 << 20,
        async () => {
          await packGuest(join(root, "store"), "long:1", "tick_ms=50 button=1")
          await packGuest(join(root, "store"), "long:latest", "tick_ms=50 button=1")
          await packGuest(join(root, "store"), "other:1", "tick_ms=51")
          await open()
          try {
            await work()
          } finally {
            makeRoom()
            for (const { instance_id } of await runtime.list())
              await runtime.remove(instance_id, { force: true })
            await runtime.close()
            expect(await vmmsBelow(root)).toEqual([])
          }
        },
        inodes,
      ),
    )

  onTmpfs(
    "machines are stopped and removed, and what could not be written down is, once there is room",
    async () => {
      const [stopped, killed, removed, died] = [await start(), await start(), await start(), await start()]
      fill()
      expect(await runtime.stop({ instance_id: stopped, grace_ms: 100 })).toEqual({ status: "stopping" })
      expect(await until(stopped, ({ state }) => hasEnded(state))).toMatchObject({ state: "stopped" })
      await runtime.stop({ instance_id: killed, grace_ms: 0 })
      expect(await until(killed, ({ state }) => hasEnded(state))).toMatchObject({ state: "stopped" })
      fill()
      await runtime.remove(removed, { force: true })
      fill()
      process.kill(Number((await readFile(join(root, "instances", died, "pid"), "utf8")).split(" ")[0]), 9)
      const info = await until(died, ({ state }) => hasEnded(state))
      // The keeper's status had its room.
      expect(info).toMatchObject({ state: "failed", exit: { status: 137 } })
      await runtime.remove(killed)
      expect((await runtime.list()).map((one) => one.instance_id)).toEqual([stopped, died])
      makeRoom()
      const recorded = async (id: string) =>
        JSON.parse(await readFile(join(root, "instances", id, "instance.json"), "utf8")).info.state
      while ((await recorded(stopped)) !== "stopped" || (await recorded(died)) !== "failed")
        await Bun.sleep(20)

      const last = await start()
      fill()
      await runtime.stop({ instance_id: last, grace_ms: 0 })
      await until(last, ({ state }) => hasEnded(state))
      makeRoom()
      // Whoever ends in order does not wait for the next time.
      await runtime.close()
      expect(await recorded(last)).toBe("stopped")
      await open()
    },
  )

  onTmpfs(
    "where its file system has no inode left a start says so, whoever needed the last one",
    async () => {
      const made: string[] = []
      const fillInodes = (left: number) => {
        try {
          for (;;) {
            const path = join(root, `ballast-${made.length}`)
            closeSync(openSync(path, "wx"))
            made.push(path)
          }
        } catch {}
        for (const path of made.splice(made.length - left)) rmSync(path)
      }
      const tried = async () => {
        const { instance_id: id } = await runtime.start({ manifest: "long" })
        const { error } = await until(id, ({ state }) => state === "running" || hasEnded(state))
        await runtime.remove(id, { force: true })
        return error
      }
      let ofQemu = 0
      for (let left = 0; ; left += 2) {
        fillInodes(left)
        const error = await tried().catch((thrown) => thrown)
        for (const path of made.splice(0)) rmSync(path)
        if (!error) break
        expect([left, error]).toMatchObject([left, { code: "OVM_NO_SPACE" }])
        if (error instanceof OvmError) continue
        expect([left, error.message]).toEqual([
          left,
          expect.stringMatching(/no inode is left on its file system; /),
        ])
        ofQemu++
      }
      expect(ofQemu).toBeGreaterThan(0)
    },
    400,
  )

  onTmpfs("slots are given up", async () => {
    const id = await start()
    await runtime.snapshot({ instance_id: id, tag: "s" })
    expect(await runtime.warm({ manifest: "long:s", slots: 1 })).toMatchObject({ ready: 1 })
    fill()
    expect(await runtime.warm({ manifest: "long:s", slots: 0 })).toMatchObject({ slots: 0, ready: 0 })
    expect(await vmmsBelow(root)).toHaveLength(1)
  })

  onTmpfs("a sandbox whose guest cannot write ends with that [OVMS-API-533]", async () => {
    const disk = join(outside, "disk.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    await packGuest(join(root, "store"), "writes:1", "tick_ms=20 hlt=1 log=8", {
      diskLayers: [{ path: disk, format: "raw" }],
    })
    // Its agent would be waited for longer than the test takes.
    const request = { manifest: "writes:1", command: ["true"], wait_ms: 600_000 }
    const ended = refusal(runtime.sandbox(request))
    for (let state = ""; state !== "running"; await Bun.sleep(10))
      state = (await runtime.list()).at(0)?.state ?? ""
    fill()
    const { code, message } = await ended
    expect([code, message]).toEqual(["OVM_NO_SPACE", expect.stringContaining("the guest")])
    expect(await runtime.list()).toEqual([])
  })

  onTmpfs("a machine that cannot be written down is not started, and none is left running", async () => {
    fill()
    expect((await refusal(runtime.start({ manifest: "long" }))).code).toBe("OVM_NO_SPACE")
    expect(await runtime.list()).toEqual([])
    expect(readdirSync(join(root, "instances"))).toEqual([])
    expect(await vmmsBelow(root)).toEqual([])
  })

  onTmpfs("names are resolved and removed, and what they held is collected", async () => {
    fill()
    {
      await using store = await openLayout(join(root, "store"))
      const target = await store.resolve("other:1")
      expect(await store.exists(target)).toBe(true)
      await store.untag("other:1")
      await store.untag("long:1")
    }
    const { bytes } = await collectGarbage(join(root, "store"))
    expect(bytes).toBeGreaterThan(0)
    // What was freed is set aside for the next time.
    fill()
    await using store = await openLayout(join(root, "store"))
    await store.untag("long:latest")
  })

  onTmpfs("what is held without room for a lease is not collected", async () => {
    fill()
    const store = await openLayout(join(root, "store"))
    const target = await store.resolve("other:1")
    await store.untag("other:1")
    fill()
    expect(await store.exists(target)).toBe(true)
    const collected = collectGarbage(join(root, "store"))
    await Bun.sleep(50)
    expect(await store.exists(target)).toBe(true)
    await store.close()
    expect((await collected).removed).toContain(target.digest)
  })
})
