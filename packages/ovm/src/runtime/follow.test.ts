import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { until } from "@ovms/testkit/until.ts"
import { connectQmp } from "../vmm/qemu/qmp.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

setDefaultTimeout(240_000)

describe.skipIf(guestMissing !== "")(`an instance's state is what its guest does ${guestMissing}`, () => {
  let root: string
  let runtime: LocalRuntime
  const logged: [string, Record<string, unknown>][] = []

  const open = async (instances = join(root, "instances")) =>
    openRuntime(root, { instances, log: (event, fields) => logged.push([event, fields]) })

  const reach = async (id: string, done: (info: InstanceInfo) => boolean): Promise<InstanceInfo> => {
    for (;;) {
      const info = await runtime.status(id)
      if (done(info) || hasEnded(info.state)) return info
      await Bun.sleep(5)
    }
  }

  const start = async (manifest: string): Promise<string> => {
    const { instance_id } = await runtime.start({ manifest })
    const { error } = await reach(instance_id, ({ state }) => state === "running")
    expect(error).toBeUndefined()
    return instance_id
  }

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-follow-"))
    await packGuest(join(root, "store"), "long:1", "tick_ms=20 hlt=1")
    const disk = join(root, "disk.raw")
    writeFileSync(disk, "")
    truncateSync(disk, 64 << 20)
    const diskLayers = [{ path: disk, format: "raw" as const }]
    await packGuest(join(root, "store"), "growing:1", "tick_ms=20 grow=4", { diskLayers })
    await packGuest(join(root, "store"), "panicking:1", "tick_ms=20 ticks=100 panic=1")
    runtime = await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-STA-033, OVMS-API-141
  test("paused and gone on through the API, and what has ended is neither", async () => {
    const id = await start("long:1")
    expect(await runtime.pause(id)).toEqual({ status: "paused" })
    expect(await runtime.status(id)).toMatchObject({ state: "paused", reason: "request" })
    await runtime.close()
    runtime = await open()
    expect(await runtime.status(id)).toMatchObject({ state: "paused", reason: "request" })
    expect(await runtime.resume(id)).toEqual({ status: "running" })
    expect((await runtime.status(id)).reason).toBeUndefined()
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await reach(id, () => false)
    for (const work of [runtime.pause(id), runtime.resume(id)])
      expect((await refusal(work)).code).toBe("OVM_STATE_CONFLICT")
  })

  // OVMS-STA-033, OVMS-STA-035
  test("by somebody else's hand, while nobody looked", async () => {
    const id = await start("long:1")
    for (const [command, state] of [
      ["stop", "paused"],
      ["cont", "running"],
    ] as const) {
      await runtime.close()
      const qmp = await connectQmp(join(root, "instances", id), { timeoutMs: 5000 })
      await qmp?.execute(command)
      qmp?.close()
      runtime = await open()
      expect(await reach(id, (info) => info.state === state)).toMatchObject({ state })
    }
  })

  // OVMS-STA-030
  test("a guest that panicked has failed, also if no daemon was there", async () => {
    const id = await start("panicking:1")
    await runtime.close()
    const said = () => readFileSync(join(root, "instances", id, "console.0"), "latin1")
    await until("it has panicked", said, { is: (text) => text.includes("GUEST-PANIC") })
    runtime = await open()
    expect(await reach(id, () => false)).toMatchObject({
      state: "failed",
      exit: { reason: "guest-panic" },
      error: { code: "OVM_GUEST_PANICKED" },
    })
  })

  // OVMS-API-230
  test("the event of a guest that panicked has the error too", async () => {
    const { instance_id: id } = await runtime.start({ manifest: "panicking:1" })
    await reach(id, ({ state }) => state === "failed")
    const ends = async () =>
      (await Array.fromAsync(await runtime.events())).filter(
        ({ type, instance_id }) => type === "failed" && instance_id === id,
      )
    const [told] = await until("its end is told", ends, { is: ({ length }) => length > 0 })
    expect(told).toMatchObject({
      exit: { reason: "guest-panic" },
      error: { code: "OVM_GUEST_PANICKED" },
    })
  })

  // OVMS-STA-034, OVMS-API-142, OVMS-API-143, OVMS-API-144
  test.skipIf(mountMissing !== "")(
    `the disk of the host is full: said, and gone on from once there is room ${mountMissing}`,
    async () => {
      await runtime.close()
      const tiny = join(root, "tiny")
      await withTmpfs(tiny, 8 << 20, async () => {
        const ballast = join(tiny, "ballast")
        const instances = join(tiny, "instances")
        runtime = await open(instances)
        const id = await start("growing:1")
        writeFileSync(ballast, Buffer.alloc(3 << 20))
        logged.length = 0
        const info = await reach(id, ({ state }) => state === "paused")
        expect(info).toMatchObject({ state: "paused", reason: "disk-full" })
        expect(info.warnings.join()).toContain("the disk of the host is full")
        expect(logged).toContainEqual([
          "paused",
          expect.objectContaining({ instance_id: id, reason: "disk-full" }),
        ])
        expect((await refusal(runtime.resume(id))).code).toBe("OVM_NO_SPACE")
        expect(await reach(id, ({ state }) => state === "paused")).toMatchObject({ reason: "disk-full" })
        expect((await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))).code).toBe(
          "OVM_STATE_CONFLICT",
        )
        await runtime.close()
        runtime = await open(instances)
        expect(await reach(id, ({ state }) => state === "paused")).toMatchObject({ reason: "disk-full" })
        rmSync(ballast)
        expect(await runtime.resume(id)).toEqual({ status: "running" })
        const after = await runtime.status(id)
        expect(after.reason).toBeUndefined()
        expect(after.warnings.join()).not.toContain("full")
        for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
        await runtime.close()
      })
      runtime = await open()
    },
  )
})
