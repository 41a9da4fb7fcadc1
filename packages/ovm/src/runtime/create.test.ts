import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, spyOn, test } from "bun:test"
import { existsSync, readdirSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { lockLikeQemu } from "@ovms/testkit/ofd-lock.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { collectGarbage } from "../content/layout/gc.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const IMAGE = "localhost/tests/create:1"

let root: string
let runtime: LocalRuntime
const folder = (id: string) => join(root, "instances", id)

async function open(running = 8): Promise<LocalRuntime> {
  return openRuntime(root, { limits: { running } })
}

async function pack(args = "tick_ms=20 button=1 write=3 read=3"): Promise<void> {
  const layer = { path: join(root, "disk.raw"), format: "raw" as const }
  await packGuest(join(root, "store"), IMAGE, args, { diskLayers: [layer] })
}

function running(id: string): Promise<InstanceInfo> {
  const over = ({ state }: InstanceInfo) => state === "running" || hasEnded(state)
  return until("it runs", () => runtime.status(id), { is: over })
}

describe.skipIf(guestMissing !== "")(`a machine that is made without being started ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-create-"))
    await writeFile(join(root, "disk.raw"), Buffer.alloc(1 << 20))
    await pack()
    runtime = await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-170, OVMS-API-380, OVMS-API-381
  test("is at rest, on its content whatever becomes of the name, and starts as it was told, also by another daemon", async () => {
    const labels = { tier: "web", "org.example/empty": "" }
    const answer = await runtime.create({
      manifest: IMAGE,
      overrides: { name: "web", labels, memory: 48 << 20 },
    })
    const { instance_id: id, status } = answer
    expect(status).toBe("stopped")
    const made = await runtime.status(id)
    expect(made).toMatchObject({ name: "web", labels, state: "stopped", vmm: { name: "qemu" } })
    for (const member of ["exit", "started", "finished", "phase", "error"] as const)
      expect([member, made[member]]).toEqual([member, undefined])
    expect(await vmmsBelow(root)).toEqual([])
    const told = await Array.fromAsync(await runtime.events())
    expect(told.map(({ type, exit, instance_id }) => [type, exit, instance_id])).toEqual([
      ["starting", undefined, id],
      ["stopped", undefined, id],
    ])
    await runtime.close()
    await pack("tick_ms=20 ticks=1")
    await collectGarbage(join(root, "store"))
    runtime = await open()
    expect(await runtime.status(id)).toEqual(made)
    expect(await runtime.startAgain(id)).toEqual({ instance_id: id, status: "starting" })
    expect(await running(id)).toMatchObject({ state: "running", labels, resources: { memory: 48 << 20 } })
    await until("it has read what it wrote", async () =>
      Buffer.concat(await Array.fromAsync(await runtime.logs(id)))
        .toString()
        .includes("SECTOR 3 [written by the guest]"),
    )
    await pack()
  })

  test("can be started once more where its first start failed", async () => {
    const { instance_id: id } = await runtime.create({ manifest: IMAGE })
    const letGo = lockLikeQemu(join(folder(id), "overlay.qcow2"))
    await runtime.startAgain(id)
    expect(await running(id)).toMatchObject({ state: "failed" })
    letGo()
    await runtime.startAgain(id)
    expect(await running(id)).toMatchObject({ state: "running" })
  })

  // OVMS-API-171, OVMS-API-172
  test("leaves nothing behind where it cannot be", async () => {
    const code = async (request: Parameters<typeof runtime.create>[0]) =>
      (await refusal(runtime.create(request))).code
    expect(await code({ manifest: "localhost/nothing:1" })).toBe("OVM_NAME_UNKNOWN")
    expect(await code({ manifest: IMAGE, overrides: { vmm: "toaster" } })).toBe("OVM_UNSUPPORTED")
    expect(await code({ manifest: IMAGE, overrides: { resume: true } })).toBe("OVM_UNSUPPORTED")
    const { instance_id } = await runtime.start({ manifest: IMAGE })
    await running(instance_id)
    await runtime.snapshot({ instance_id, tag: "s" })
    await runtime.remove(instance_id, { force: true })
    expect(await code({ manifest: "localhost/tests/create:s" })).toBe("OVM_UNSUPPORTED")
    expect(readdirSync(join(root, "instances"))).toEqual([])
    const booted = { manifest: "localhost/tests/create:s", overrides: { resume: false } }
    expect(await runtime.create(booted)).toMatchObject({ status: "stopped" })
  })

  // OVMS-API-171
  test("whoever removes it while it is made is why there is none", async () => {
    const ends = new Set<string>()
    // On a busy host one may be made by the time that it is found.
    const met = () => ends.has("OVM_STATE_CONFLICT")
    for (let tries = 0; tries < 12 || (tries < 200 && !met()); tries++) {
      const ms = (tries % 12) * 2
      const made = runtime.create({ manifest: IMAGE }).then(
        ({ status }) => status as string,
        ({ code }) => code as string,
      )
      const [{ instance_id = "" } = {}] = await runtime.list()
      if (ms > 0) await Bun.sleep(ms)
      await runtime.remove(instance_id, { force: true })
      ends.add(await made)
      expect(await runtime.list()).toEqual([])
      expect(readdirSync(join(root, "instances"))).toEqual([])
    }
    expect([...ends].filter((end) => end !== "stopped")).toEqual(["OVM_STATE_CONFLICT"])
  })

  test("outlives a crash of the host with its name, and so do a start and a stop that its policy is to heed [OVMS-STA-069]", async () => {
    const synced: string[] = []
    const files = process.getBuiltinModule("node:fs/promises")
    const { open: really } = files
    using _ = spyOn(files, "open").mockImplementation(async (path, ...how) => {
      const file = await really(path, ...how)
      spyOn(file, "sync").mockImplementation(async () => {
        synced.push(String(path))
      })
      return file
    })
    const taken = () => synced.splice(0)
    const overrides = { name: "lasting", restart: "always" }
    const { instance_id: id } = await runtime.create({ manifest: IMAGE, overrides })
    const all = [join(folder(id), "instance.json"), folder(id), join(root, "instances")]
    expect(taken()).toEqual(all)
    await runtime.rename(id, { name: "longer" })
    expect(taken()).toEqual(all)
    await runtime.startAgain(id)
    await until("it is on the disk", () => synced.length === all.length)
    expect(taken()).toEqual(all)
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    expect(taken()).toEqual(all)
  })

  test("does not count as one that runs", async () => {
    await runtime.close()
    runtime = await open(1)
    const { instance_id } = await runtime.start({ manifest: IMAGE })
    await running(instance_id)
    const made = await runtime.create({ manifest: IMAGE })
    expect((await refusal(runtime.startAgain(made.instance_id))).code).toBe("OVM_TOO_MANY")
    await runtime.close()
    runtime = await open()
  })

  // OVMS-API-173, OVMS-API-174
  test("is called otherwise, for good, where nobody has that name", async () => {
    const { instance_id: id } = await runtime.create({ manifest: IMAGE, overrides: { name: "one" } })
    await runtime.create({ manifest: IMAGE, overrides: { name: "two" } })
    expect((await refusal(runtime.rename(id, { name: "two" }))).code).toBe("OVM_NAME_IN_USE")
    expect((await refusal(runtime.rename(id, { name: "-x" }))).code).toBe("OVM_REQUEST_INVALID")
    await runtime.rename(id, { name: "one" })
    await runtime.rename(id, { name: "three" })
    await runtime.startAgain(id)
    expect((await refusal(runtime.rename(id, { name: "early" }))).code).toBe("OVM_STATE_CONFLICT")
    await running(id)
    await runtime.rename(id, { name: "four" })
    await runtime.close()
    runtime = await open()
    expect(await runtime.status(id)).toMatchObject({ name: "four" })
    await runtime.create({ manifest: IMAGE, overrides: { name: "one" } })
    expect(existsSync(folder(id))).toBe(true)
  })
})
