import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { vmmsBelow } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { readSnapshot } from "../artifact/snapshot/read.ts"
import { openLayout } from "../content/layout/store.ts"
import { fetchAll } from "../content/read.ts"
import { inspectDisk } from "../disk/inspect.ts"
import { OvmError } from "../errors.ts"
import { availableVmms } from "../vmm/available.ts"
import type { Vmm } from "../vmm/vmm.ts"
import type { InstanceInfo, Overrides, State } from "./interfaces.ts"
import type { Limits } from "./limits.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// The runtime with a real store, a real QEMU and the bare-metal guest: nothing here is made up.

let root: string
let runtime: LocalRuntime
const store = () => join(root, "store")

const vmms = () => availableVmms(join(root, "cache"))

async function open(limits: Partial<Limits> = {}, more: readonly Vmm[] = []): Promise<LocalRuntime> {
  return openRuntime(root, { vmms: [...vmms(), ...more], limits })
}

/** Waits until the instance's state is one of `states`, or has ended. */
function reach(id: string, ...states: State[]): Promise<InstanceInfo> {
  return until(`${id} is ${states.join(" or ")}`, () => runtime.status(id), {
    is: ({ state }) => states.includes(state) || hasEnded(state),
  })
}

async function start(manifest: string, overrides: Overrides = {}): Promise<string> {
  return (await runtime.start({ manifest, overrides })).instance_id
}

async function text(id: string, follow = false): Promise<string> {
  return Buffer.concat(await Array.fromAsync(await runtime.logs(id, { follow }))).toString()
}

/** Starts it and waits until it runs. Throws what the start or the status says otherwise. */
async function reached(manifest: string): Promise<string> {
  const id = await start(manifest)
  const { error } = await reach(id, "running")
  if (error) throw new OvmError(error.code, error.message)
  return id
}

/** Once a daemon that has just begun can ask its VMM. */
async function adopted(id: string): Promise<void> {
  await until("it can be asked", () => runtime.status(id), {
    is: ({ state, reachable }) => state === "running" && reachable === undefined,
  })
}

/** The RAM that this host has inflated, by its memory digest. */
async function ramOf(digest: string): Promise<Buffer> {
  const names = await readdir(join(root, "derived"), { recursive: true })
  const found = names.find(
    (name) => name.includes(digest.slice(7)) && !/lock|stamp|verified|source/.test(name),
  )
  return readFile(join(root, "derived", found ?? digest))
}

/** Waits until the guest has come up and said so. */
async function ticks(id: string): Promise<void> {
  await until("a tick", () => text(id), { is: (text) => text.includes("TICK") })
}

async function leases(): Promise<string[]> {
  await using open = await openLayout(store())
  return (await open.leases()).map(({ id }) => id)
}

describe.skipIf(guestMissing !== "")(`a runtime ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-runtime-"))
    await packGuest(store(), "short:latest", "tick_ms=20 ticks=3")
    await packGuest(store(), "long:latest", "tick_ms=50 button=1")
    await packGuest(store(), "deaf:latest", "tick_ms=50")
    runtime = await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-060, OVMS-API-061, OVMS-API-062, OVMS-API-064, OVMS-API-341
  test("runs a machine to its own end and tells all about it", async () => {
    const answer = await runtime.start({ manifest: "short" })
    expect(answer.status).toBe("starting")
    expect(await text(answer.instance_id, true)).toContain("TICK 3\r\nGUEST-DONE")
    const info = await reach(answer.instance_id)
    expect(info).toMatchObject({
      state: "stopped",
      image: { reference: "short:latest" },
      vmm: { name: "qemu" },
      resources: { vcpus: 1, memory: 32 << 20 },
      exit: { status: 0 },
      warnings: ["the machine is not signed, and no policy asks for that"],
    })
    expect(info.name).toMatch(/^short-/)
    expect(info.error).toBeUndefined()
    expect(info.phase).toBeUndefined()
    expect(info.resources.rss ?? info.resources.cpu_time_ms).toBeUndefined()
    for (const time of [info.created, info.started, info.finished]) expect(time).toMatch(/^\d{4}-.*Z$/)
    for (const phase of ["resolve", "verify", "prepare", "spawn", "load", "total"] as const)
      expect(info.timings_ms[phase]).toBeNumber()
  })

  // OVMS-MAN-063
  test("a status shows what a running machine uses, and overrides win over the manifest", async () => {
    const id = await start("long", {
      name: "big",
      memory: 64 << 20,
      vcpus: 2,
      args: "tick_ms=10 hello=world",
    })
    const info = await reach(id, "running")
    expect(info).toMatchObject({ state: "running", name: "big", resources: { vcpus: 2, memory: 64 << 20 } })
    expect(info.resources.rss).toBeGreaterThan(1 << 20)
    expect(info.resources.cpu_time_ms).toBeNumber()
    await ticks(id)
    expect(await text(id)).toContain("CMDLINE [tick_ms=10 hello=world]")
  })

  // OVMS-API-040, OVMS-API-043, OVMS-API-045, OVMS-STA-003
  test("stop asks the guest first; a second stop and a stop of what has ended are no errors", async () => {
    const id = await start("long")
    await reach(id, "running")
    await ticks(id)
    expect(await runtime.stop({ instance_id: id })).toEqual({ status: "stopping" })
    expect(await runtime.stop({ instance_id: id })).toEqual({ status: "stopping" })
    expect(await reach(id)).toMatchObject({ state: "stopped", stop_method: "guest", exit: { status: 0 } })
    expect(await runtime.stop({ instance_id: id })).toEqual({ status: "stopped" })
  })

  // OVMS-API-040, OVMS-API-045, OVMS-STA-003
  test("a guest that does not listen is ended by its VMM", async () => {
    const id = await start("deaf")
    await reach(id, "running")
    await runtime.stop({ instance_id: id, grace_ms: 50 })
    expect(await reach(id)).toMatchObject({ state: "stopped", stop_method: "ended" })
  })

  // OVMS-API-046
  test("a second stop with a shorter time hurries the first one", async () => {
    const id = await start("deaf")
    await reach(id, "running")
    await runtime.stop({ instance_id: id, grace_ms: 600_000 })
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    expect(await reach(id)).toMatchObject({ state: "stopped", stop_method: "ended" })
  })

  // OVMS-API-044, OVMS-API-045
  test("a stop while it starts cancels the start and leaves no VMM", async () => {
    const id = await start("long")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    const { state, exit, stop_method } = await reach(id)
    expect(state).toBe("stopped")
    // A machine that was there already, on a host where launching takes no time, is ended.
    expect(stop_method).toBe(exit?.reason === "cancelled" ? "cancelled" : "ended")
    const last = async () =>
      (await Array.fromAsync(await runtime.events())).filter(({ instance_id }) => instance_id === id).at(-1)
    expect(await until("its end is told", last, { is: (one) => one?.type !== "stopping" })).toMatchObject({
      type: "stopped",
      exit,
    })
    expect(await vmmsBelow(root)).toEqual([])
  })

  // OVMS-STA-004, OVMS-API-063
  test("a VMM that dies is a failure with its exit", async () => {
    const id = await start("long")
    await reach(id, "running")
    const [pid] = await vmmsBelow(root)
    process.kill(pid ?? 0, "SIGKILL")
    const info = await reach(id)
    expect(info).toMatchObject({ state: "failed", exit: { status: 137 }, error: { code: "OVM_VMM_FAILED" } })
    expect(info.error?.message).toContain("137")
  })

  // OVMS-STA-010, OVMS-STA-011
  test("a daemon that comes back adopts what runs and reads how the rest ended", async () => {
    const id = await start("long", { name: "survivor" })
    const other = await start("long", { name: "victim" })
    await reach(id, "running")
    await reach(other, "running")
    await ticks(id) // before, the guest does not hear the power button
    const before = await runtime.status(id)
    await runtime.close()
    const pids = await vmmsBelow(root)
    expect(pids).toHaveLength(2)
    process.kill(
      Number((await readFile(join(root, "instances", other, "pid"), "utf8")).split(" ")[0]),
      "SIGTERM",
    )
    runtime = await open()
    // Its monitor may not have seen the one before leave.
    const after = await until("it is reached", () => runtime.status(id), {
      is: ({ reachable }) => reachable !== false,
    })
    const lasting = ({ resources: _, timings_ms: { running: __, ...timings }, ...rest }: InstanceInfo) => ({
      ...rest,
      timings,
    })
    expect(lasting(after)).toEqual(lasting(before))
    expect((await reach(other)).state).not.toBe("running")
    await runtime.stop({ instance_id: id })
    expect(await reach(id)).toMatchObject({ state: "stopped", exit: { status: 0 } })
  })

  // OVMS-STA-014, OVMS-API-028
  test("what was still starting when the daemon died has failed, and its VMM is gone", async () => {
    const id = await start("long")
    await reach(id, "running")
    await runtime.close()
    // The record as it is between spawning the VMM and knowing it.
    const file = join(root, "instances", id, "instance.json")
    const record = JSON.parse(await readFile(file, "utf8"))
    await writeFile(file, JSON.stringify({ schema: 1, info: { ...record.info, state: "starting" } }))
    runtime = await open()
    expect(await runtime.status(id)).toMatchObject({
      state: "failed",
      error: { code: "OVM_START_INTERRUPTED" },
    })
    expect(await vmmsBelow(root)).toEqual([])
  })

  // OVMS-STA-015
  test("what was stopping when the daemon died is stopped by the next one", async () => {
    const id = await start("long")
    await reach(id, "running")
    await ticks(id)
    await runtime.close()
    // The record as it is between the request and the guest's being asked.
    const file = join(root, "instances", id, "instance.json")
    const record = JSON.parse(await readFile(file, "utf8"))
    await writeFile(file, JSON.stringify({ ...record, info: { ...record.info, state: "stopping" } }))
    runtime = await open()
    expect(await reach(id)).toMatchObject({ state: "stopped", exit: { status: 0 } })
    expect(await text(id)).toContain("POWER-BUTTON")
    expect(await vmmsBelow(root)).toEqual([])
  })

  // OVMS-API-081, OVMS-API-082, OVMS-STA-006
  test("removing gives back lease, directory and name; what runs is not removed unless forced", async () => {
    const id = await start("long", { name: "once" })
    expect((await refusal(runtime.remove(id))).code).toBe("OVM_STATE_CONFLICT")
    expect(await leases()).toContain(`instance-${id}`)
    await runtime.remove(id, { force: true })
    expect((await refusal(runtime.status(id))).code).toBe("OVM_INSTANCE_UNKNOWN")
    expect(await leases()).not.toContain(`instance-${id}`)
    expect(await readdir(join(root, "instances"))).toEqual([])
    await start("short", { name: "once" })
  })

  // OVMS-API-022, OVMS-API-025, OVMS-MAN-057
  test("a refused start leaves nothing behind", async () => {
    await packGuest(store(), "uefi:latest", "", { metadata: { platform: { arch: "x86_64", uefi: true } } })
    await packGuest(store(), "odd:latest", "", { devices: [{ type: "warp-drive", name: "w0" }] })
    await start("long", { name: "taken" })
    const refused = [
      ["OVM_NAME_UNKNOWN", "nowhere:1", {}],
      ["OVM_REFERENCE_INVALID", "UPPER", {}],
      ["OVM_FILE_UNREADABLE", "/no/such/layout", {}],
      ["OVM_UEFI_UNSUPPORTED", "uefi", {}],
      ["OVM_UNSUPPORTED", "odd", {}],
      ["OVM_UNSUPPORTED", "long", { vmm: "bochs" }],
      ["OVM_UNSUPPORTED", "long", { vcpus: 100_000 }],
      ["OVM_NAME_IN_USE", "long", { name: "taken" }],
      ["OVM_REQUEST_INVALID", "long", { name: "../up" }],
    ] as const
    for (const [code, manifest, overrides] of refused)
      expect([manifest, (await refusal(runtime.start({ manifest, overrides }))).code]).toEqual([
        manifest,
        code,
      ])
    expect(await runtime.list()).toHaveLength(1)
    expect(await readdir(join(root, "instances"))).toHaveLength(1)
    expect(await leases()).toHaveLength(1)
  })

  // OVMS-SEC-004
  test("a blob that was changed on disk is not started", async () => {
    const digest = await packGuest(store(), "spoilt:latest", "ticks=1 spoilt=1", {
      initrd: { path: import.meta.path },
    })
    const manifest = JSON.parse(await readFile(join(store(), "blobs/sha256", digest.slice(7)), "utf8"))
    const initrd = manifest.layers[1].digest as string
    const file = join(store(), "blobs/sha256", initrd.slice(7))
    const bytes = await readFile(file)
    bytes[0] = (bytes[0] ?? 0) ^ 1
    await chmod(file, 0o600)
    await writeFile(file, bytes)
    const error = await refusal(runtime.start({ manifest: "spoilt" }))
    expect(error.code).toBe("OVM_DIGEST_MISMATCH")
    expect(error.message).toContain(initrd)
  })

  // OVMS-MAN-027, OVMS-MAN-063, OVMS-MAN-064
  test("what neither start nor manifest says is one vCPU, 512 MiB and an empty command line", async () => {
    await packGuest(store(), "bare:latest", "", { resources: {} })
    const id = await start("bare")
    await ticks(id)
    expect((await runtime.status(id)).resources).toMatchObject({ vcpus: 1, memory: 512 << 20 })
    expect(await text(id)).toContain("CMDLINE []")
  })

  // OVMS-API-050, OVMS-MAN-083
  test("a hint orders the VMMs that are enabled, and one without the power takes no snapshots", async () => {
    const [qemu] = vmms()
    if (!qemu) throw new Error("there is no VMM")
    const plain: Vmm = {
      name: "plain",
      capabilities: (call) => qemu.capabilities(call),
      check: (plan, call) => qemu.check(plan, call),
      adopt: (record, call) => qemu.adopt(record, call),
      launch: async (plan, call) =>
        Object.defineProperty(await qemu.launch(plan, call), "snapshot", { value: undefined }),
    }
    const runtimeHints = { preferredRuntime: ["firecracker", "plain"] }
    await packGuest(store(), "picky:latest", "tick_ms=20", { runtimeHints })
    const snapshot = async (instance_id: string) =>
      (await refusal(runtime.snapshot({ instance_id, tag: "x" }))).code

    await runtime.close()
    runtime = await open({}, [plain])
    const id = await start("picky")
    await reach(id, "running")
    expect(await snapshot(id)).toBe("OVM_UNSUPPORTED")
    expect(await snapshot("00000000-0000-4000-8000-000000000000")).toBe("OVM_INSTANCE_UNKNOWN")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await reach(id)
    expect(await snapshot(id)).toBe("OVM_STATE_CONFLICT")

    // Neither is there without the operator, whatever the manifest says.
    await runtime.close()
    runtime = await open()
    const other = await start("picky")
    expect(await reach(other, "running")).toMatchObject({ state: "running", vmm: { name: "qemu" } })
    await ticks(other)
    expect((await runtime.snapshot({ instance_id: other, tag: "taken" })).snapshot_ref).toBeString()
  })

  test("limits are kept, and what there is of them is counted (OVMS-LIM-011, OVMS-API-534)", async () => {
    await runtime.close()
    runtime = await open({ running: 1, instances: 2 })
    const id = await start("long")
    expect((await refusal(runtime.start({ manifest: "long" }))).code).toBe("OVM_TOO_MANY")
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await reach(id)
    const second = await start("short")
    expect((await runtime.info()).instances).toEqual({ total: 2, running: 1, limit: 1 })
    await reach(second)
    expect((await runtime.info()).instances).toEqual({ total: 2, running: 0, limit: 1 })
    expect((await refusal(runtime.start({ manifest: "long" }))).code).toBe("OVM_TOO_MANY")
    await runtime.close()
    runtime = await open()
  })

  // OVMS-API-053, OVMS-API-054, OVMS-API-057, OVMS-API-340
  // OVMS-SNP-090, OVMS-SNP-094, OVMS-SNP-095, OVMS-SNP-122, OVMS-SNP-123
  test("a snapshot goes on where it was taken, as often as wanted, and so does a snapshot of its clone", async () => {
    const disk = join(root, "disk.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    const args = "tick_ms=20 write=3"
    await packGuest(store(), "localhost/tests/guest:1", args, { diskLayers: [{ path: disk, format: "raw" }] })
    const id = await start("localhost/tests/guest:1")
    await ticks(id)
    const first = await runtime.snapshot({ instance_id: id, tag: "warm" })
    expect(first.snapshot_ref).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(first.timings_ms?.paused).toBeGreaterThan(0)
    expect(first.timings_ms?.total).toBeGreaterThan(first.timings_ms?.paused ?? 0)
    expect((await runtime.status(id)).state).toBe("running")

    const clone = await start("localhost/tests/guest:warm")
    const info = await reach(clone, "running")
    expect(info).toMatchObject({ state: "running", snapshot: first.snapshot_ref })
    expect(info.image.reference).toBe("localhost/tests/guest:warm")
    await ticks(clone)
    // It has not booted: the counter goes on.
    expect(await text(clone)).not.toContain("GUEST-READY")
    const twin = await start("localhost/tests/guest:warm")
    const machines = [await runtime.status(id), info, await reach(twin, "running")]
    for (const { generation_id } of machines) expect(generation_id).toBeString()
    expect(new Set(machines.map(({ generation_id }) => generation_id)).size).toBe(3)
    // Its RAM and device state are for this user alone, wherever they lie.
    for (const folder of [store(), join(root, "derived/files"), join(root, "instances", id)])
      expect([folder, (await stat(folder)).mode & 0o777]).toEqual([folder, 0o700])

    const second = await runtime.snapshot({ instance_id: clone, tag: "warmer", stop: true })
    expect(second.snapshot_ref).not.toBe(first.snapshot_ref)
    expect((await reach(clone)).state).toBe("stopped")
    const grandchild = await start("localhost/tests/guest:warmer")
    await reach(grandchild, "running")
    await ticks(grandchild)
    expect(await text(grandchild)).not.toContain("GUEST-READY")
    await using layout = await openLayout(store())
    const deep = await readSnapshot(layout, await layout.resolve("localhost/tests/guest:warmer"))
    expect(deep.snapshot.parent as string).toBe(first.snapshot_ref)
    expect(deep.snapshot.uniqueness.vmgenid).toBe(true)
    expect(deep.snapshot.devices.join()).toContain("vmgenid")
    expect(deep.overlays).toHaveLength(2)
    for (const { descriptor } of deep.overlays) {
      const path = (await layout.path(descriptor)) ?? ""
      expect(await inspectDisk(path, { format: "qcow2", role: "diff" })).toMatchObject({
        virtualSize: 1 << 20,
      })
    }
    expect(deep.base.digest).toBe((await layout.resolve("localhost/tests/guest:1")).digest)

    // It tells the pages in which its RAM differs from its parent's; this host has both.
    const parent = (await readSnapshot(layout, await layout.resolve("localhost/tests/guest:warm"))).snapshot
    const [mine, theirs] = await Promise.all([deep.snapshot, parent].map(({ ram }) => ramOf(ram.digest)))
    const map = deep.changed && (await fetchAll(layout, deep.changed, deep.changed.size))
    const differing = Array.from({ length: (32 << 20) / 4096 }, (_, page) => page).filter(
      (page) =>
        mine?.compare(theirs ?? mine, page * 4096, page * 4096 + 4096, page * 4096, page * 4096 + 4096) !== 0,
    )
    const told = [...(map ?? [])].flatMap((byte, at) =>
      Array.from({ length: 8 }, (_, bit) => bit).flatMap((bit) => ((byte >> bit) & 1 ? [at * 8 + bit] : [])),
    )
    expect(told).toEqual(differing)
    expect(differing.length).toBeGreaterThan(0)
    expect(deep.snapshot.ram.changed?.pages).toBe(differing.length)
    expect(parent.ram.changed).toBeUndefined()
  })

  // OVMS-API-052, OVMS-API-059, OVMS-SNP-077, OVMS-STA-006
  test("what a snapshot cannot be is refused, and nothing is stored", async () => {
    const unknown = { instance_id: "00000000-0000-4000-8000-000000000000", tag: "x" }
    expect((await refusal(runtime.snapshot(unknown))).code).toBe("OVM_INSTANCE_UNKNOWN")
    const id = await start("long")
    await reach(id, "running")
    await ticks(id)
    const taken = await refusal(runtime.snapshot({ instance_id: id, tag: "latest" }))
    expect([taken.code, taken.message]).toEqual([
      "OVM_STATE_CONFLICT",
      expect.stringContaining("long:latest"),
    ])
    await runtime.snapshot({ instance_id: id, tag: "snap" })
    for (const overrides of [{ memory: 64 << 20 }, { vcpus: 2 }]) {
      const error = await refusal(runtime.start({ manifest: "long:snap", overrides }))
      expect(error.code).toBe("OVM_SNAPSHOT_INCOMPATIBLE")
      expect(error.message).toContain(`/resources/${Object.keys(overrides)[0]}`)
    }
    expect((await refusal(runtime.start({ manifest: "long:snap", overrides: { args: "x" } }))).code).toBe(
      "OVM_UNSUPPORTED",
    )
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    await reach(id)
    expect((await refusal(runtime.snapshot({ instance_id: id, tag: "y" }))).code).toBe("OVM_STATE_CONFLICT")
  })

  // OVMS-API-121, OVMS-SNP-097, OVMS-SNP-098
  test("RAM with secrets is not stored where that was asked for, and the machine goes on", async () => {
    // The command line is in the guest's RAM, and in that of its VMM's firmware.
    const token = `ghp_${"Zq4".repeat(12)}`
    const args = `tick_ms=20 button=1 token=${token}`
    await packGuest(store(), "localhost/tests/secret:1", args)
    await packGuest(store(), "localhost/tests/clean:1", "tick_ms=20")
    const [id, clean] = [await start("localhost/tests/secret:1"), await start("localhost/tests/clean:1")]
    await ticks(id)
    await ticks(clean)
    const before = await readdir(join(store(), "blobs/sha256"))
    const error = await refusal(
      runtime.snapshot({ instance_id: id, tag: "x", scrub_check: "refuse", stop: true }),
    )
    expect(error.code).toBe("OVM_SECRETS_FOUND")
    expect(error.message).toContain("github-token")
    expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain(token)
    expect(error.detail).toEqual([
      { kind: "github-token", count: expect.any(Number), offsets: expect.any(Array) },
    ])
    expect(await readdir(join(store(), "blobs/sha256"))).toEqual(before)
    expect(
      (await readdir(join(root, "instances", id))).filter((name) => name.startsWith("snapshot")),
    ).toEqual([])
    // It was to be stopped; it is not, and it hears its power button.
    expect((await runtime.status(id)).state).toBe("running")

    const told = await runtime.snapshot({ instance_id: id, tag: "told", scrub_check: "report" })
    expect(told.scrub?.findings).toEqual(error.detail as [])
    expect(JSON.stringify(told)).not.toContain(token)
    expect(told.timings_ms?.scrub).toBeNumber()
    const none = await runtime.snapshot({ instance_id: clean, tag: "none", scrub_check: "refuse" })
    expect(none.scrub).toEqual({ checked: true, findings: [] })
    await using layout = await openLayout(store())
    const read = async (name: string) =>
      (await readSnapshot(layout, await layout.resolve(`localhost/tests/${name}`))).snapshot
    expect((await read("secret:told")).scrub).toEqual(told.scrub)
    expect((await read("clean:none")).scrub).toEqual({ checked: true, findings: [] })
    await runtime.stop({ instance_id: id })
    expect(await reach(id)).toMatchObject({ state: "stopped", stop_method: "guest" })
  })

  // OVMS-SNP-091
  test("what a snapshot asks of whoever resumes it is in its descriptor, and in those of its clones", async () => {
    await packGuest(store(), "localhost/tests/asks:1", "tick_ms=20")
    const id = await start("localhost/tests/asks:1")
    await ticks(id)
    const asked = { multi_resume: "deny", preload_hint: true } as const
    await runtime.snapshot({ instance_id: id, tag: "a", ...asked })
    // Of two at once one is refused, and leaves nothing. OVMS-SNP-141
    const both = await Promise.allSettled([start("localhost/tests/asks:a"), start("localhost/tests/asks:a")])
    const [clone = ""] = both.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []))
    const [denied] = both.flatMap((one) => (one.status === "rejected" ? [one.reason] : []))
    expect(denied).toMatchObject({ code: "OVM_RESUME_DENIED" })
    expect(await runtime.list()).toHaveLength(2)
    await reach(clone, "running")
    await runtime.snapshot({ instance_id: clone, tag: "b", multi_resume: "allow", preload_hint: false })
    await using layout = await openLayout(store())
    const read = async (tag: string) =>
      (await readSnapshot(layout, await layout.resolve(`localhost/tests/asks:${tag}`))).snapshot
    const [a, b] = [await read("a"), await read("b")]
    expect([a.uniqueness.multiResume, a.ram.preload_hint]).toEqual(["deny", true])
    expect([b.uniqueness.multiResume, b.ram.preload_hint]).toEqual(["deny", false])

    // Once means once, whichever daemon is asked and whatever the snapshot is called.
    const again = async () => (await refusal(start("localhost/tests/asks:a"))).code
    expect(await again()).toBe("OVM_RESUME_DENIED")
    await runtime.close()
    runtime = await open()
    expect(await again()).toBe("OVM_RESUME_DENIED")
    await layout.tag(await layout.resolve("localhost/tests/asks:a"), "localhost/tests/asks:other")
    expect((await refusal(start("localhost/tests/asks:other"))).code).toBe("OVM_RESUME_DENIED")
    await reached("localhost/tests/asks:b")
    expect((await refusal(start("localhost/tests/asks:b"))).code).toBe("OVM_RESUME_DENIED")
  })

  test("a snapshot that stops its machine knows the last that it did", async () => {
    await packGuest(store(), "localhost/tests/last:1", "tick_ms=1")
    const id = await start("localhost/tests/last:1")
    await ticks(id)
    await runtime.snapshot({ instance_id: id, tag: "end", stop: true })
    expect((await reach(id)).state).toBe("stopped")
    const clone = await start("localhost/tests/last:end")
    await reach(clone, "running")
    await ticks(clone)
    // The one goes on where the other ended, be it in the middle of a line.
    const numbers = [...((await text(id)) + (await text(clone))).matchAll(/TICK (\d+)\r/g)].map(([, n]) =>
      Number(n),
    )
    expect(numbers).toEqual(numbers.map((_, index) => index + 1))
  })

  test("a snapshot survives the daemon: a later one still knows its lineage", async () => {
    const disk = join(root, "lineage.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    await packGuest(store(), "localhost/tests/lineage:1", "tick_ms=20 write=3", {
      diskLayers: [{ path: disk, format: "raw" }],
    })
    const id = await start("localhost/tests/lineage:1")
    await ticks(id)
    const first = await runtime.snapshot({ instance_id: id, tag: "a" })
    await runtime.close()
    runtime = await open()
    await adopted(id)
    await runtime.snapshot({ instance_id: id, tag: "b" })
    await using layout = await openLayout(store())
    const b = await readSnapshot(layout, await layout.resolve("localhost/tests/lineage:b"))
    expect(b.snapshot.parent as string).toBe(first.snapshot_ref)
    expect(b.overlays).toHaveLength(2)
  })

  test("a daemon that died between a snapshot and its record finds the overlay that it does not know", async () => {
    const id = await start("localhost/tests/lineage:1")
    await ticks(id)
    const file = join(root, "instances", id, "instance.json")
    const before = await readFile(file)
    await runtime.snapshot({ instance_id: id, tag: "lost" })
    await runtime.close()
    await writeFile(file, before)
    await writeFile(join(root, "instances", id, "snapshot.ram"), "left behind")
    runtime = await open()
    await adopted(id)
    await runtime.snapshot({ instance_id: id, tag: "found" })
    await using layout = await openLayout(store())
    expect(
      (await readSnapshot(layout, await layout.resolve("localhost/tests/lineage:found"))).overlays,
    ).toHaveLength(2)
  })
})
