import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises"
import { createConnection } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { processesIn, vmmsBelow } from "@ovms/testkit/processes.ts"
import { collectGarbage } from "../content/layout/gc.ts"
import { availableVmms } from "../vmm/available.ts"
import type { MachineRecord } from "../vmm/machine.ts"
import { endedMachine } from "../vmm/process/ended.ts"
import { identityOf } from "../vmm/process/identity.ts"
import { endStray } from "../vmm/process/stray.ts"
import { Adoption } from "./adoption.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo } from "./interfaces.ts"
import type { LocalRuntime } from "./local.ts"
import { imagesBelow, openRuntime } from "./runtime.testing.ts"
import { hasEnded } from "./states.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

// biome-ignore lint/suspicious/noExplicitAny: a record as it is on disk, to be damaged
type Fields = any

let root: string
let runtime: LocalRuntime
const folder = (id: string) => join(root, "instances", id)
const recordOf = (id: string) => join(folder(id), "instance.json")

async function open(instances = join(root, "instances")): Promise<void> {
  runtime = await openRuntime(root, { instances, images: await imagesBelow(root, { damaged: () => {} }) })
}

async function until(id: string, done: (info: InstanceInfo) => boolean): Promise<InstanceInfo> {
  for (;;) {
    const info = await runtime.status(id)
    if (done(info)) return info
    await Bun.sleep(10)
  }
}

/** A machine with a disk that runs and that no daemon looks after: what the last one left, with the pid of its VMM. */
async function orphan(manifest = "disk"): Promise<{ id: string; pid: number }> {
  const { instance_id: id } = await runtime.start({ manifest })
  await until(id, ({ state }) => state === "running")
  await runtime.close()
  const pid = Number((await readFile(join(folder(id), "pid"), "utf8")).split(" ")[0])
  return { id, pid }
}

/**
 * Guests that never rest, several on each processor of any host that this runs on, and no more than its memory holds.
 */
const BUSY = 16

/** Not one that has ended and that its keeper, or init, which may be in no hurry, has not looked at yet. */
function lives(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "latin1"))
  } catch {
    return false
  }
}

const isReached = ({ reachable }: InstanceInfo) => reachable === undefined
const hasWhy = ({ error }: InstanceInfo) => error !== undefined
const overlayOf = (id: string) => existsSync(join(folder(id), "overlay.qcow2"))

describe.skipIf(guestMissing !== "")(`machines that cannot be reached ${guestMissing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-adopt-"))
    const disk = join(root, "disk.raw")
    await writeFile(disk, Buffer.alloc(1 << 20))
    const diskLayers = [{ path: disk, format: "raw" as const }]
    await packGuest(join(root, "store"), "disk:latest", "tick_ms=50 button=1", { diskLayers })
    await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    expect(await vmmsBelow(root)).toEqual([])
    expect(await readdir(join(root, "instances"))).toEqual([])
  })
  afterAll(async () => {
    for (const id of await readdir(join(root, "instances"))) await endStray(folder(id))
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-STA-020, OVMS-STA-021, OVMS-STA-022, OVMS-STA-023, OVMS-API-130
  test("one whose VMM stands still is kept as it was, refuses what needs it, and is itself again once it answers", async () => {
    const { id, pid } = await orphan()
    process.kill(pid, "SIGSTOP")
    await open()
    expect(await runtime.status(id)).toMatchObject({ state: "running", reachable: false })
    expect((await runtime.list())[0]).toMatchObject({ instance_id: id, state: "running", reachable: false })
    const taken = await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))
    expect([taken.code, taken.httpStatus]).toEqual(["OVM_VMM_UNREACHABLE", 503])
    expect((await until(id, hasWhy)).error?.code).toBe("OVM_VMM_UNREACHABLE")
    expect(overlayOf(id)).toBe(true)
    // The next one finds it as this one did.
    await runtime.close()
    await open()
    expect(await runtime.status(id)).toMatchObject({ state: "running", reachable: false })
    process.kill(pid, "SIGCONT")
    const again = await until(id, isReached)
    expect([again.state, again.error]).toEqual(["running", undefined])
    expect((await runtime.snapshot({ instance_id: id, tag: "again" })).snapshot_ref).toStartWith("sha256:")
    await runtime.stop({ instance_id: id })
    expect(await until(id, ({ state }) => state !== "stopping")).toMatchObject({ state: "stopped" })
  })

  // OVMS-STA-021, OVMS-STA-023
  test("one that is stopped under the daemon's eyes is shown as that, refuses what needs it, and goes on", async () => {
    const { id, pid } = await orphan()
    await open()
    await until(id, isReached)
    process.kill(pid, "SIGSTOP")
    const what = { state: "running", reachable: false, error: { code: "OVM_VMM_UNREACHABLE" } }
    expect(await until(id, (info) => !isReached(info))).toMatchObject(what)
    expect((await runtime.list())[0]).toMatchObject(what)
    const asked = [runtime.pause(id), runtime.resume(id), runtime.snapshot({ instance_id: id, tag: "x" })]
    for (const one of asked) expect((await refusal(one)).code).toBe("OVM_VMM_UNREACHABLE")
    process.kill(pid, "SIGCONT")
    expect((await until(id, isReached)).error).toBeUndefined()
    expect(await runtime.pause(id)).toEqual({ status: "paused" })
    expect(await runtime.resume(id)).toEqual({ status: "running" })
  })

  // OVMS-STA-021
  test("one whose monitor others hold is taken over when they leave", async () => {
    const { id } = await orphan()
    const others = await Promise.all([1, 2, 3].map(() => held(id)))
    await open()
    expect(await runtime.status(id)).toMatchObject({ state: "running", reachable: false })
    for (const other of others) other.destroy()
    expect((await until(id, isReached)).state).toBe("running")
  })

  // OVMS-STA-023, OVMS-STA-028
  test("one that is never reached is ended by its process, and says what it took", async () => {
    const { id, pid } = await orphan()
    await rm(join(folder(id), "qmp.sock"))
    await open()
    expect((await until(id, hasWhy)).error?.message).toContain("qmp.sock is gone")
    await runtime.stop({ instance_id: id, grace_ms: 100 })
    const info = await until(id, ({ state }) => state !== "stopping")
    expect(info).toMatchObject({ state: "stopped", exit: { status: 0 } })
    expect((await until(id, ({ stop_method }) => stop_method !== undefined)).stop_method).toBe("ended")
    expect(lives(pid)).toBe(false)
    expect(overlayOf(id)).toBe(true)
  })

  test("one that stands still is removed by force, with its keeper", async () => {
    const { id, pid } = await orphan()
    process.kill(pid, "SIGSTOP")
    await open()
    await runtime.remove(id, { force: true })
    expect(lives(pid)).toBe(false)
    expect(processesIn(folder(id))).toEqual([])
  })

  // OVMS-STA-015
  test("one that was being stopped is stopped, answer or not", async () => {
    const { id, pid } = await orphan()
    await edit(id, (record) => ({ ...record, info: { ...record.info, state: "stopping" } }))
    process.kill(pid, "SIGSTOP")
    await open()
    await runtime.stop({ instance_id: id, grace_ms: 0 })
    expect((await until(id, ({ state }) => state !== "stopping")).state).toBe("stopped")
  })

  // OVMS-STA-021
  test("one whose VMM this runtime has no adapter for goes on running", async () => {
    const { id, pid } = await orphan()
    await edit(id, (record) => ({ ...record, machine: { ...record.machine, vmm: "other" } }))
    await open()
    const info = await until(id, hasWhy)
    expect(info).toMatchObject({ state: "running", reachable: false })
    expect(info.error?.message).toContain("no adapter")
    expect(lives(pid)).toBe(true)
  })

  // OVMS-STA-024, OVMS-STA-025, OVMS-API-131
  test("one whose record cannot be read is kept with its process, and read as soon as that can be done", async () => {
    const { id, pid } = await orphan()
    await rename(recordOf(id), join(folder(id), "aside"))
    await writeFile(recordOf(id), "")
    await rm(join(folder(id), "pid"))
    await open()
    const info = await runtime.status(id)
    expect(info).toMatchObject({ state: "running", reachable: false, name: id, resources: {} })
    expect(info.error?.code).toBe("OVM_RECORD_UNREADABLE")
    expect(info.error?.message).toContain(recordOf(id))
    expect((await refusal(runtime.remove(id))).code).toBe("OVM_RECORD_UNREADABLE")
    expect((await refusal(runtime.snapshot({ instance_id: id, tag: "x" }))).code).toBe(
      "OVM_RECORD_UNREADABLE",
    )
    for await (const chunk of await runtime.logs(id, { follow: true }))
      if (Buffer.from(chunk).includes("T")) break
    await rename(join(folder(id), "aside"), recordOf(id))
    const again = await until(id, (info) => isReached(info) && info.name !== id)
    expect(again).toMatchObject({ state: "running", image: { reference: "disk:latest" } })
    expect(lives(pid)).toBe(true)
  })

  // OVMS-STA-025
  test("one whose record nobody can read is ended and removed by force, its keeper killed or not", async () => {
    for (const killed of [false, true]) {
      const { id, pid } = await orphan()
      await truncate(recordOf(id))
      if (killed) process.kill(await sessionOf(pid), "SIGKILL")
      await open()
      expect((await runtime.status(id)).state).toBe("running")
      await runtime.remove(id, { force: true })
      expect(existsSync(folder(id))).toBe(false)
      expect(lives(pid)).toBe(false)
    }
  })

  // OVMS-STA-024
  test("one that has ended and whose record is of a newer version is shown as it says", async () => {
    const { id, pid } = await orphan()
    process.kill(pid, "SIGTERM")
    while (!existsSync(join(folder(id), "exit"))) await Bun.sleep(5)
    await edit(id, (record) => ({
      ...record,
      schema: 99,
      info: { ...record.info, state: "stopped", more: [] },
    }))
    await open()
    expect(await runtime.status(id)).toMatchObject({
      state: "stopped",
      image: { reference: "disk:latest" },
      error: { code: "OVM_RECORD_UNREADABLE", message: expect.stringContaining("99") },
    })
    expect(overlayOf(id)).toBe(true)
  })

  const damages: [string, () => Promise<unknown>][] = [
    ["an emptied oci-layout", () => truncate(join(root, "store/oci-layout"))],
    ["an emptied index.json", () => truncate(join(root, "store/index.json"))],
    ["no store", () => rm(join(root, "store"), { recursive: true })],
    ["no cache", () => rm(join(root, "derived"), { recursive: true, force: true })],
    ["no leases", () => rm(join(root, "store/ovm/leases"), { recursive: true })],
    ["leases that say nothing", () => inEach("store/ovm/leases", "not a lease\n")],
    [
      "a strange warm.json",
      () => writeFile(join(root, "warm.json"), '{"slots":[null,{"manifest":"::","slots":3}]}'),
    ],
    ["a broken policy", () => writeFile(join(root, "policy.json"), "{")],
    [
      "a strange snapshot.json",
      () => inEach("instances", '{"running":true,"files":[null]}', "snapshot.json"),
    ],
    ["a file among the instances", () => writeFile(join(root, "instances", "README"), "x")],
  ]
  // OVMS-STA-011, OVMS-STA-029
  for (const [what, damage] of damages)
    test(`${what} keeps no machine from being taken over, stopped and removed`, async () => {
      const { id } = await orphan()
      await cp(join(root, "store"), join(root, "whole"), { recursive: true })
      await damage()
      await open()
      expect((await until(id, isReached)).state).toBe("running")
      await runtime.stop({ instance_id: id, grace_ms: 0 })
      await until(id, ({ state }) => state === "stopped")
      await runtime.remove(id)
      await runtime.close()
      for (const name of ["store", "warm.json", "policy.json", "instances/README"])
        await rm(join(root, name), { recursive: true, force: true })
      await rename(join(root, "whole"), join(root, "store"))
      await open()
    })

  test("one that is taken over holds its image, whatever became of its lease", async () => {
    const { id } = await orphan()
    await cp(join(root, "store"), join(root, "whole"), { recursive: true })
    await truncate(join(root, "store/ovm/leases", `instance-${id}`))
    await open()
    await until(id, isReached)
    await writeFile(join(root, "store/index.json"), '{"schemaVersion":2,"manifests":[]}')
    expect((await collectGarbage(join(root, "store"))).removed).toEqual([])
    await runtime.remove(id, { force: true })
    expect((await collectGarbage(join(root, "store"))).removed).not.toEqual([])
    await rm(join(root, "store"), { recursive: true })
    await rename(join(root, "whole"), join(root, "store"))
  })

  // OVMS-STA-013, OVMS-STA-028
  // OVMS-STA-020
  test("one whose record says otherwise of its process, or that it has ended, is what works in its folder", async () => {
    const changes: [what: string, change: (record: Fields) => object][] = [
      ["of another boot", (record) => ({ ...record, machine: { ...record.machine, bootId: "another" } })],
      ["of another pid", (record) => ({ ...record, machine: { ...record.machine, pid: process.pid } })],
      ["stopped", (record) => ({ ...record, info: { ...record.info, state: "stopped" } })],
    ]
    for (const [what, change] of changes) {
      const { id, pid } = await orphan()
      await edit(id, change)
      await open()
      expect([what, (await until(id, isReached)).state]).toEqual([what, "running"])
      expect((await refusal(runtime.remove(id))).code).toBe("OVM_STATE_CONFLICT")
      expect((await runtime.snapshot({ instance_id: id, tag: "x" })).snapshot_ref).toStartWith("sha256:")
      await runtime.remove(id, { force: true })
      expect(lives(pid)).toBe(false)
      await runtime.close()
    }
    await open()
  })

  // OVMS-STA-020, OVMS-STA-021, OVMS-STA-023
  test("one of another container, whose pids are not ours, is seen to live, and kept until it does not", async () => {
    const { id, pid } = await orphan()
    // What a daemon elsewhere has written; who holds the lock is a process of ours all the same.
    await edit(id, (record) => ({ ...record, machine: { ...record.machine, pid: 1, pidNamespace: "1" } }))
    await writeFile(join(folder(id), "pid"), "1 1 1\n")
    await open()
    const info = await until(id, hasWhy)
    expect(info).toMatchObject({ state: "running", reachable: false, error: { code: "OVM_VMM_UNREACHABLE" } })
    expect(info.error?.message).toContain("PID namespace")
    expect((await refusal(runtime.remove(id, { force: true }))).code).toBe("OVM_VMM_UNREACHABLE")
    expect(overlayOf(id)).toBe(true)
    expect(lives(pid)).toBe(true)
    process.kill(pid, "SIGKILL")
    await until(id, ({ state }) => hasEnded(state))
    await runtime.remove(id)
  })

  // OVMS-STA-020
  test("one whose folder was copied is the original's alone, and one whose folder was moved is where it is now", async () => {
    const { id, pid } = await orphan()
    const copy = join(root, "copy")
    await cp(folder(id), copy, { recursive: true, filter: (path) => !path.endsWith(".sock") })
    await rename(folder(id), join(root, "moved"))
    await rename(copy, folder(id))
    await open()
    expect(await until(id, ({ state }) => hasEnded(state))).toMatchObject({ state: "failed" })
    await runtime.remove(id, { force: true })
    expect(lives(pid)).toBe(true)
    await runtime.close()
    const instances = join(root, "elsewhere")
    await mkdir(instances)
    await rename(join(root, "moved"), join(instances, id))
    await open(instances)
    expect((await until(id, isReached)).state).toBe("running")
    expect((await runtime.snapshot({ instance_id: id, tag: "x" })).snapshot_ref).toStartWith("sha256:")
    await runtime.remove(id, { force: true })
    await runtime.close()
    await open()
  })

  // OVMS-STA-022, OVMS-STA-029
  test("one folder's files that are none keep nobody from the others, and it can be removed", async () => {
    for (const name of ["exit", "stderr", "console.0", "pid"]) {
      const { id } = await orphan()
      await rename(join(folder(id), name), join(folder(id), "aside")).catch(() => {})
      execFileSync("mkfifo", [join(folder(id), name)])
      await open()
      expect([name, (await until(id, isReached)).state]).toEqual([name, "running"])
      if (name === "console.0") expect((await refusal(runtime.logs(id))).message).toContain("named pipe")
      await runtime.stop({ instance_id: id, grace_ms: 0 })
      await until(id, ({ state }) => hasEnded(state))
      await runtime.remove(id)
      await runtime.close()
    }
    const { id } = await orphan()
    await rename(recordOf(id), join(folder(id), "aside"))
    await rm(join(folder(id), "pid"))
    await symlink("pid", join(folder(id), "pid"))
    await open()
    expect((await runtime.status(id)).error?.code).toBe("OVM_RECORD_UNREADABLE")
  })

  test("those that want every processor of a busy host are all taken over", async () => {
    await packGuest(join(root, "store"), "busy:latest", "tick_ms=0")
    const starts = Array.from({ length: BUSY }, () => runtime.start({ manifest: "busy" }))
    const ids = (await Promise.all(starts)).map(({ instance_id }) => instance_id)
    for (const id of ids) await until(id, ({ state }) => state !== "starting")
    await runtime.close()
    await open()
    for (const id of ids) expect((await until(id, isReached)).state).toBe("running")
  })

  test("one that ran when the host was restarted is lost, and its disk is not", async () => {
    const { id, pid } = await orphan()
    process.kill(-(await sessionOf(pid)), "SIGKILL")
    while (processesIn(folder(id)).length > 0) await Bun.sleep(5)
    await edit(id, (record) => ({ ...record, machine: { ...record.machine, bootId: "another" } }))
    await open()
    const info = await until(id, isReached)
    expect(info).toMatchObject({ state: "failed", exit: { reason: "lost" } })
    expect(info.error?.message).toContain("restarted")
    expect(overlayOf(id)).toBe(true)
    const [told] = await Array.fromAsync(await runtime.events())
    expect(told).toMatchObject({ type: "failed", instance_id: id, exit: { reason: "lost" } })
    expect(told?.finished).toBeUndefined()
  })

  // OVMS-STA-021, OVMS-STA-033
  test("one whose process ends while it is taken over is never said to stand still", async () => {
    const { id, pid } = await orphan()
    // What QEMU's adapter finds of a process that has gone a moment before: how it ended takes its time.
    const vmms = availableVmms(join(root, "cache")).map((vmm) =>
      Object.assign(Object.create(vmm), { adopt: async (record: MachineRecord) => endedMachine(record) }),
    )
    runtime = await openRuntime(root, { vmms })
    for (let look = 0; look < 20; look++) {
      const { state, reachable } = await runtime.status(id)
      expect([state, reachable]).toEqual(["running", false])
      await Bun.sleep(20)
    }
    process.kill(pid, "SIGKILL")
    const { state, exit } = await until(id, isReached)
    expect([state, exit?.reason]).toEqual(["failed", "signal"])
    const told = await Array.fromAsync(await runtime.events())
    expect(told.map(({ type }) => type)).toEqual(["failed"])
  })

  // OVMS-API-234
  test("one that ended while no runtime was there is told of, with when that was", async () => {
    const { id, pid } = await orphan()
    const before = Date.now()
    process.kill(pid, "SIGKILL")
    while (processesIn(folder(id)).length > 0) await Bun.sleep(5)
    const after = Date.now()
    await Bun.sleep(1500)
    await open()
    const { finished } = await until(id, ({ state }) => hasEnded(state))
    const events = await Array.fromAsync(await runtime.events())
    expect(events).toMatchObject([{ type: "failed", instance_id: id, finished, exit: { reason: "signal" } }])
    expect(Date.parse(finished ?? "")).toBeWithin(before - 1000, after + 1000)
    expect(Date.parse(events[0]?.time ?? "")).toBeGreaterThan(after + 1000)
  })
})

// What an end has to read and write comes to nothing while somebody asks again and again without a pause.
test("a machine that has ended is not asked any more, whatever its instance is still about to do", async () => {
  const directory = await mkdtemp(join(tmpdir(), "ovm-adopt-"))
  const child = spawn("sleep", ["600"], { stdio: "ignore" })
  await once(child, "spawn")
  const record = { ...identityOf(directory, child.pid), vmm: "other" } as MachineRecord
  let asked = 0
  const find = () => {
    if (++asked === 1000) adoption.close()
  }
  const options = { vmms: { find } as unknown as [], onMachine: () => {}, log: () => {} }
  const adoption = new Adoption(options)
  const instance = { state: "stopping" } as Instance
  await adoption.begin(instance, record)
  child.kill("SIGKILL")
  await instance.machine?.exited
  await Bun.sleep(100)
  expect(asked).toBeLessThan(100)
  adoption.close()
  await rm(directory, { recursive: true })
})

/** Writes `text` to each file of a folder of the root, or to `name` in each of its folders. */
async function inEach(path: string, text: string, name = ""): Promise<void> {
  for (const one of await readdir(join(root, path))) await writeFile(join(root, path, one, name), text)
}

/** Another client of the monitor, which nobody else is served beside. */
async function held(id: string) {
  const socket = createConnection(join(folder(id), "qmp.sock"))
  socket.on("error", () => {})
  await new Promise((resolve) => socket.once("connect", resolve).once("error", resolve))
  return socket
}

async function edit(id: string, change: (record: Fields) => object): Promise<void> {
  const record = JSON.parse(await readFile(recordOf(id), "utf8"))
  await writeFile(recordOf(id), JSON.stringify(change(record)))
}

/** The keeper's own process, which leads the session. */
async function sessionOf(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/stat`, "latin1")
  return Number(text.slice(text.lastIndexOf(")") + 2).split(" ")[3])
}
