import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readdir, readFile, rename, rm, rmdir, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { canonicalJson } from "../../artifact/canonical.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { openLayout } from "../../content/layout/store.ts"
import { bytesOf, fetchAll } from "../../content/read.ts"
import { ownMemory } from "../../host/memory.ts"
import { findQemu } from "../../vmm/qemu/find.ts"
import type { WarmInfo } from "../interfaces.ts"
import type { Limits } from "../limits.ts"
import type { LocalRuntime } from "../local.ts"
import { openRuntime } from "../runtime.testing.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// Slots with a real store, a real QEMU and the bare-metal guest, of a snapshot that was taken a moment ago.

const BASE = "localhost/tests/guest:1"
const WARM = "localhost/tests/guest:warm"

let root: string
let runtime: LocalRuntime
let digest: string

async function open(limits: Partial<Limits> = {}, at = root): Promise<LocalRuntime> {
  return openRuntime(at, { limits })
}

async function reopen(limits: Partial<Limits> = {}): Promise<void> {
  await runtime.close()
  runtime = await open(limits)
}

async function text(id: string): Promise<string> {
  return Buffer.concat(await Array.fromAsync(await runtime.logs(id))).toString()
}

async function ticks(id: string): Promise<void> {
  await until("a tick", () => text(id), { is: (text) => text.includes("TICK") })
}

async function warmInfo(reference = WARM): Promise<WarmInfo | undefined> {
  return (await runtime.info()).warm.find((one) => one.reference === reference)
}

/** Waits until as many slots as wanted are there. */
async function full(): Promise<void> {
  await until("all slots are ready", () => warmInfo(), {
    is: (info) => info !== undefined && info.ready === info.wanted,
  })
}

/** Ids of slots: directories without a record. */
async function slots(at = root): Promise<string[]> {
  const ids = await readdir(join(at, "instances"))
  const records = await Promise.all(
    ids.map((id) => readdir(join(at, "instances", id)).catch((): string[] => [])),
  )
  return ids.filter((_, index) => !records[index]?.includes("instance.json"))
}

async function leases(): Promise<string[]> {
  await using store = await openLayout(join(root, "store"))
  return (await store.leases()).map(({ id }) => id)
}

async function removeAll(): Promise<void> {
  for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
}

describe.skipIf(guestMissing !== "")(`warm slots ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-slots-"))
    const disk = join(root, "disk.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    await packGuest(join(root, "store"), BASE, "tick_ms=20", { diskLayers: [{ path: disk, format: "raw" }] })
    runtime = await open()
    const { instance_id } = await runtime.start({ manifest: BASE })
    await ticks(instance_id)
    digest = (await runtime.snapshot({ instance_id, tag: "warm" })).snapshot_ref
    await removeAll()
  })
  afterEach(async () => {
    await removeAll()
    await runtime.warm({ manifest: WARM, slots: 0 })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  test("a start takes a slot, whose guest goes on, and another is made in its place (OVMS-API-091, OVMS-API-103, OVMS-API-105)", async () => {
    expect(await runtime.warm({ manifest: WARM, slots: 1 })).toEqual({ snapshot: digest, slots: 1, ready: 1 })
    expect(await warmInfo()).toEqual({ reference: WARM, snapshot: digest, wanted: 1, ready: 1 })
    const [waiting] = await slots()
    const overrides = { name: "taken", labels: { tier: "web" }, ephemeral: true, autoRemove: true }
    const answer = await runtime.start({ manifest: WARM, overrides })
    expect(answer).toEqual({ instance_id: waiting ?? "", status: "running" })
    const info = await runtime.status(answer.instance_id)
    expect(info).toMatchObject({
      name: "taken",
      labels: { tier: "web" },
      state: "running",
      snapshot: digest,
      image: { reference: WARM, digest },
      vmm: { name: "qemu" },
      resources: { memory: 32 << 20 },
    })
    const own = (await Array.fromAsync(await runtime.events())).filter(({ name }) => name === "taken")
    expect(own.map(({ type }) => type)).toEqual(["starting", "running"])
    expect(info.phase).toBeUndefined()
    expect(info.timings_ms.spawn).toBeUndefined()
    expect(info.timings_ms.total).toBeNumber()
    await ticks(answer.instance_id)
    expect(await text(answer.instance_id)).not.toContain("GUEST-READY")
    await full()
    const [next] = await slots()
    expect(next).toBeString()
    expect(next).not.toBe(waiting)
  })

  test("each machine has a generation ID and an overlay of its own, and can be snapshotted again (OVMS-API-106, OVMS-SNP-090)", async () => {
    await runtime.warm({ manifest: WARM, slots: 2 })
    const ids = [await runtime.start({ manifest: WARM }), await runtime.start({ manifest: WARM })].map(
      ({ instance_id }) => instance_id,
    )
    const infos = await Promise.all(ids.map((id) => runtime.status(id)))
    expect(infos.map(({ state }) => state)).toEqual(["running", "running"])
    expect(new Set(infos.map(({ generation_id }) => generation_id)).size).toBe(2)
    expect(infos[0]?.generation_id).toBeString()
    for (const id of ids) expect(await readdir(join(root, "instances", id))).toContain("overlay.qcow2")
    const [first = ""] = ids
    await ticks(first)
    const again = await runtime.snapshot({ instance_id: first, tag: "deeper" })
    expect(again.snapshot_ref).not.toBe(digest)
  })

  test("starts at the same time never share a slot (OVMS-API-106)", async () => {
    await runtime.warm({ manifest: WARM, slots: 2 })
    const waiting = await slots()
    const answers = await Promise.all(Array.from({ length: 4 }, () => runtime.start({ manifest: WARM })))
    const ids = answers.map(({ instance_id }) => instance_id)
    expect(new Set(ids).size).toBe(4)
    expect(ids.filter((id) => waiting.includes(id)).length).toBe(2)
    expect(answers.map(({ status }) => status).sort()).toEqual(["running", "running", "starting", "starting"])
  })

  test("other overrides take the long way, and the slot stays (OVMS-API-105)", async () => {
    await runtime.warm({ manifest: WARM, slots: 1 })
    const waiting = await slots()
    const answer = await runtime.start({ manifest: WARM, overrides: { vcpus: 1 } })
    expect(answer.status).toBe("starting")
    expect(waiting).not.toContain(answer.instance_id)
    expect(await slots()).toEqual(waiting)
  })

  test("a start that is refused leaves the slot where it was", async () => {
    await reopen({ running: 1 })
    await runtime.warm({ manifest: WARM, slots: 1 })
    await runtime.start({ manifest: WARM, overrides: { name: "one" } })
    await full()
    const waiting = await slots()
    const error = await refusal(runtime.start({ manifest: WARM, overrides: { name: "two" } }))
    expect([error.code, error.message]).toEqual(["OVM_TOO_MANY", expect.stringContaining("1 instances")])
    expect(await slots()).toEqual(waiting)
    await reopen()
    await full()
    await runtime.start({ manifest: WARM, overrides: { name: "one-more" } })
    expect((await refusal(runtime.start({ manifest: WARM, overrides: { name: "one" } }))).code).toBe(
      "OVM_NAME_IN_USE",
    )
  })

  test("no more than the memory that was granted (OVMS-API-091, OVMS-API-102)", async () => {
    await runtime.warm({ manifest: WARM, slots: 1 })
    const [pid = 0] = await vmmsBelow(root)
    const each = (await ownMemory(pid)) ?? Number.NaN
    // Of the guest's memory it has nearly nothing for itself.
    expect(each).toBeLessThan(24 << 20)
    await runtime.warm({ manifest: WARM, slots: 0 })
    await reopen({ warmMemory: Math.round(3.2 * each) })
    const error = await refusal(runtime.warm({ manifest: WARM, slots: 5 }))
    expect([error.code, error.message]).toEqual(["OVM_TOO_MANY", expect.stringContaining(WARM)])
    expect(await warmInfo()).toBeUndefined()
    expect(await runtime.warm({ manifest: WARM, slots: 2 })).toMatchObject({ ready: 2 })
    // What was asked for of a daemon that granted more.
    await reopen({ warmMemory: Math.round(1.4 * each) })
    expect(await until("a reason", () => warmInfo(), { is: (info) => Boolean(info?.reason) })).toMatchObject({
      wanted: 2,
      ready: 1,
      reason: { code: "OVM_TOO_MANY" },
    })
    await reopen()
  })

  test("slots are ended where the host is short of memory (OVMS-API-110)", async () => {
    await runtime.warm({ manifest: WARM, slots: 1 })
    await reopen({ warmReserve: Number.MAX_SAFE_INTEGER })
    expect(await until("a reason", () => warmInfo(), { is: (info) => Boolean(info?.reason) })).toMatchObject({
      wanted: 1,
      ready: 0,
      reason: { code: "OVM_TOO_MANY" },
    })
    expect((await refusal(runtime.warm({ manifest: WARM, slots: 2 }))).message).toContain("memory left")
    expect(await vmmsBelow(root)).toEqual([])
    await reopen()
    await full()
  })

  test("a daemon that ends takes its slots along, and the next one makes them again (OVMS-API-104)", async () => {
    await runtime.warm({ manifest: WARM, slots: 2 })
    const before = await slots()
    await runtime.close()
    expect(await vmmsBelow(root)).toEqual([])
    expect(await slots()).toEqual([])
    expect(await leases()).toEqual([])
    runtime = await open()
    await full()
    const after = await slots()
    expect(after.length).toBe(2)
    expect(after.some((id) => before.includes(id))).toBe(false)
    expect(await runtime.warm({ manifest: WARM, slots: 0 })).toEqual({ snapshot: digest, slots: 0, ready: 0 })
    expect(await vmmsBelow(root)).toEqual([])
    await reopen()
    expect((await runtime.info()).warm).toEqual([])
  })

  test("what a killed daemon left of its slots is swept: process, directory and lease", async () => {
    await runtime.warm({ manifest: WARM, slots: 1 })
    const [orphan] = await slots()
    const [pid] = await vmmsBelow(root)
    // A second daemon while the first never got to end, as after kill -9.
    const next = await open()
    expect(await vmmsBelow(root)).not.toContain(pid ?? 0)
    expect(await slots()).not.toContain(orphan)
    await runtime.close()
    runtime = next
    await full()
    expect(await leases()).toEqual((await slots()).map((id) => `instance-${id}`))
  })

  test("requests that come at once are all answered, and the last word is what outlives the daemon", async () => {
    for (let round = 0; round < 5; round++) {
      const asked = Array.from({ length: 8 }, (_, at) => runtime.warm({ manifest: WARM, slots: at % 2 }))
      expect(await Promise.allSettled(asked)).toEqual(
        asked.map(() => expect.objectContaining({ status: "fulfilled" })),
      )
    }
    await runtime.warm({ manifest: WARM, slots: 1 })
    expect(JSON.parse(await readFile(join(root, "warm.json"), "utf8"))).toEqual({
      schema: 1,
      slots: [{ manifest: WARM, slots: 1 }],
    })
    expect((await readdir(root)).filter((name) => name.endsWith(".tmp"))).toEqual([])
    await runtime.warm({ manifest: WARM, slots: 0 })
  })

  test("what was asked for and cannot be read just now is not forgotten", async () => {
    const [path, aside] = [join(root, "warm.json"), join(root, "aside.json")]
    await runtime.warm({ manifest: WARM, slots: 1 })
    const kept = await readFile(path, "utf8")
    await runtime.close()
    // Stands for EIO and EMFILE, which a file on a disk that works does not have.
    await rename(path, aside)
    await mkdir(path)
    runtime = await open()
    expect((await refusal(runtime.warm({ manifest: WARM, slots: 1 }))).message).toContain(path)
    await rmdir(path)
    await rename(aside, path)
    await reopen()
    await full()
    expect((await slots()).length).toBe(1)
    expect(await readFile(path, "utf8")).toBe(kept)
    await runtime.warm({ manifest: WARM, slots: 0 })
  })

  test("a slot whose process died is not started, and the next look makes another", async () => {
    await runtime.warm({ manifest: WARM, slots: 1 })
    for (const pid of await vmmsBelow(root)) process.kill(pid, "SIGSTOP")
    const [pid = 0] = await vmmsBelow(root)
    const [dead = ""] = await slots()
    process.kill(pid, "SIGKILL")
    const { instance_id } = await runtime.start({ manifest: WARM })
    expect(instance_id).not.toBe(dead)
    await ticks(instance_id)
    expect(await runtime.warm({ manifest: WARM, slots: 1 })).toMatchObject({ ready: 1 })
    expect(await slots()).not.toContain(dead)
    expect(await leases()).not.toContain(`instance-${dead}`)
  })

  test("a name that stands for something else has none of the old slots (OVMS-API-107)", async () => {
    await runtime.warm({ manifest: WARM, slots: 1 })
    const old = await slots()
    {
      await using store = await openLayout(join(root, "store"))
      const snapshot = await store.resolve(WARM)
      await store.tag(await store.resolve(BASE), WARM)
      const { instance_id } = await runtime.start({ manifest: WARM })
      expect(old).not.toContain(instance_id)
      expect((await refusal(runtime.warm({ manifest: WARM, slots: 1 }))).code).toBe("OVM_UNSUPPORTED")
      await store.untag(WARM)
      expect((await refusal(runtime.warm({ manifest: WARM, slots: 1 }))).code).toBe("OVM_NAME_UNKNOWN")
      expect(await runtime.warm({ manifest: WARM, slots: 0 })).toMatchObject({ slots: 0, ready: 0 })
      await store.tag(snapshot, WARM)
    }
    expect(await slots()).toEqual([])
  })

  test("a slot of a VMM's program that was replaced is ended and made again (OVMS-API-107)", async () => {
    // Its modules are found by its own path, so the program itself cannot be moved.
    const program = join(root, "qemu-system-x86_64")
    const { path } = await findQemu()
    await writeFile(program, `#!/bin/sh\nexec ${path} "$@"\n`, { mode: 0o755 })
    const before = process.env.OVM_QEMU
    process.env.OVM_QEMU = program
    try {
      await reopen()
      await runtime.warm({ manifest: WARM, slots: 1 })
      const [old = ""] = await slots()
      await utimes(program, new Date(), new Date(0))
      const answer = await runtime.start({ manifest: WARM })
      expect(answer.instance_id).not.toBe(old)
      await runtime.warm({ manifest: WARM, slots: 1 })
      expect(await slots()).not.toContain(old)
      expect(await warmInfo()).toMatchObject({ ready: 1 })
    } finally {
      if (before === undefined) delete process.env.OVM_QEMU
      else process.env.OVM_QEMU = before
      await reopen()
    }
  })

  test("a snapshot that may be resumed once has one slot, and then none (OVMS-API-109, OVMS-SNP-092)", async () => {
    const once = "localhost/tests/guest:once"
    await allowOnce(once)
    const answer = await runtime.warm({ manifest: once, slots: 2 })
    expect(answer).toMatchObject({ slots: 2, ready: 1 })
    expect(await warmInfo(once)).toMatchObject({ ready: 1, reason: { code: "OVM_RESUME_DENIED" } })
    // A slot that was ended without a start has resumed nothing.
    await runtime.warm({ manifest: once, slots: 0 })
    await runtime.warm({ manifest: once, slots: 1 })
    // That it is resumed is remembered before the guest runs: its VMM is held until then.
    const [pid = 0] = await vmmsBelow(root)
    process.kill(pid, "SIGSTOP")
    const starting = runtime.start({ manifest: once })
    const remembered = join(root, "resumed", (answer.snapshot ?? "").slice(7))
    await until("it is remembered", () => existsSync(remembered))
    // Another start, without a slot or with none left, is refused before there is an instance. OVMS-SNP-141
    const before = (await runtime.list()).length
    for (const overrides of [{}, { vcpus: 1 }])
      expect((await refusal(runtime.start({ manifest: once, overrides }))).code).toBe("OVM_RESUME_DENIED")
    expect(await runtime.list()).toHaveLength(before)
    process.kill(pid, "SIGCONT")
    expect((await starting).status).toBe("running")
    const error = await refusal(runtime.warm({ manifest: once, slots: 1 }))
    expect([error.code, error.message]).toEqual([
      "OVM_RESUME_DENIED",
      expect.stringContaining(answer.snapshot ?? "?"),
    ])
    await runtime.warm({ manifest: once, slots: 0 })
  })

  test("a snapshot that may be resumed once has one slot, whatever its names are (OVMS-API-109)", async () => {
    const [one, other] = ["localhost/tests/guest:only", "localhost/tests/guest:same"]
    for (const name of [one, other]) await allowOnce(name, { made: "names" })
    await runtime.warm({ manifest: one, slots: 1 })
    const refused = await refusal(runtime.warm({ manifest: other, slots: 1 }))
    expect([refused.code, refused.message]).toEqual(["OVM_RESUME_DENIED", expect.stringContaining(one)])
    expect(await slots()).toHaveLength(1)
    expect(await warmInfo(other)).toBeUndefined()
    await runtime.warm({ manifest: one, slots: 0 })
    expect(await runtime.warm({ manifest: other, slots: 1 })).toMatchObject({ ready: 1 })
    await runtime.warm({ manifest: other, slots: 0 })
  })

  test("a name that was moved and given back has slots again, and nothing is left of what went (OVMS-API-107, OVMS-SNP-151)", async () => {
    const moved = "localhost/tests/guest:moved"
    const first = await allowOnce(moved, { made: "moved" })
    expect(await runtime.warm({ manifest: moved, slots: 1 })).toMatchObject({ snapshot: first, ready: 1 })
    const [old = ""] = await slots()
    const blob = join(root, "store/blobs/sha256", first.slice(7))
    {
      await using store = await openLayout(join(root, "store"))
      await store.tag(await store.resolve(WARM), moved)
    }
    expect(existsSync(blob)).toBe(true)
    expect(await runtime.warm({ manifest: moved, slots: 1 })).toMatchObject({ snapshot: digest, ready: 1 })
    expect(await slots()).not.toContain(old)
    expect(existsSync(blob)).toBe(false)
    // As by a pull.
    expect(await allowOnce(moved, { made: "moved" })).toBe(first)
    await until("its slots are of the first one again", () => warmInfo(moved), {
      is: (info) => info?.snapshot === first && info.ready === 1,
    })
    expect(await slots()).toHaveLength(1)
    await runtime.warm({ manifest: moved, slots: 0 })
  })

  test("only snapshots can be kept warm, and nothing is kept of a refusal", async () => {
    const machine = await refusal(runtime.warm({ manifest: BASE, slots: 1 }))
    expect([machine.code, machine.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining(BASE)])
    expect((await refusal(runtime.warm({ manifest: "nothing:here", slots: 1 }))).code).toBe(
      "OVM_NAME_UNKNOWN",
    )
    expect((await runtime.info()).warm).toEqual([])
  })
})

/** Gives the name `name` to a copy of the snapshot WARM that may be resumed once. */
async function allowOnce(name: string, annotations?: Record<string, string>): Promise<string> {
  await using store = await openLayout(join(root, "store"))
  const read = async (target: Descriptor) =>
    JSON.parse(Buffer.from(await fetchAll(store, target, target.size)).toString())
  const push = async (value: object, mediaType: string): Promise<Descriptor> => {
    const bytes = canonicalJson(value)
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    await store.push(descriptor, bytesOf(bytes))
    return descriptor
  }
  const target = await store.resolve(WARM)
  const manifest = await read(target)
  const { uniqueness, ...rest } = await read(manifest.config)
  const config = await push(
    { ...rest, uniqueness: { ...uniqueness, multiResume: "deny" } },
    manifest.config.mediaType,
  )
  const copy = await push({ ...manifest, config, ...(annotations && { annotations }) }, target.mediaType)
  await store.tag(copy, name)
  return copy.digest
}
