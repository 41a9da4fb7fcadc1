import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { Bench, MiB } from "../../bench.testing.ts"
import type { Machine } from "../../machine.ts"
import { endStray, vmmIn } from "../../process/stray.ts"
import { SnapshotBench } from "../../snapshot-bench.testing.ts"
import { firecracker } from "../index.ts"
import { jailerBeside, jailerOf } from "./find.ts"
import { leaveJail, makeJail } from "./place.ts"
import { UIDS } from "./settings.ts"
import { claimUid, releaseUid } from "./uids.ts"

// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const isRoot = process.getuid?.() === 0
const root = mkdtempSync(join(tmpdir(), "ovm-jail-"))
afterAll(() => rmSync(root, { recursive: true }))
let count = 0
function folder(): string {
  const path = join(root, `${count++}`)
  mkdirSync(path, { mode: 0o700 })
  return path
}

test("a jailer is found beside Firecracker, by the name that its release gives it", () => {
  const place = folder()
  const program = (name: string) => {
    writeFileSync(join(place, name), "#!/bin/sh\n", { mode: 0o755 })
    return join(place, name)
  }
  const plain = program("firecracker")
  expect(jailerBeside(plain)).toBeUndefined()
  expect(jailerBeside(program("firecracker-v1.16.1-x86_64"))).toBeUndefined()
  const jailer = program("jailer-v1.16.1-x86_64")
  const link = join(folder(), "firecracker")
  symlinkSync(join(place, "firecracker-v1.16.1-x86_64"), link)
  expect(jailerBeside(link)?.path).toBe(jailer)
  expect(jailerBeside(plain)).toBeUndefined()
})

test("a jailer that was found is remembered until it or its Firecracker is another, and one that comes is found", () => {
  const place = folder()
  const [firecracker, jailer] = ["firecracker", "jailer"].map((name) => join(place, name)) as [string, string]
  const put = (path: string, text = "") => writeFileSync(path, `#!/bin/sh\n${text}`, { mode: 0o755 })
  const found = () => {
    const { size, mtimeMs } = statSync(firecracker)
    return jailerOf({ path: firecracker, size, mtimeMs })
  }
  put(firecracker)
  expect(found()).toBeUndefined()
  put(jailer)
  const first = found()
  expect(first).toMatchObject({ path: jailer, size: statSync(jailer).size })
  // It is the one that was found: nothing was looked for.
  expect(found()).toBe(first as NonNullable<typeof first>)
  put(firecracker, "another")
  const second = found()
  expect(second).toEqual(first)
  expect(second === first).toBe(false)
  put(jailer, "another one")
  expect(found()?.size).toBe(statSync(jailer).size)
  expect(found()?.size).not.toBe(first?.size)
  rmSync(jailer)
  expect(found()).toBeUndefined()
})

test("a user id is one jail's, is given back, and is nobody's once its jail is gone; all that are taken are said [OVMS-API-518]", async () => {
  const claims = join(root, "claims")
  const range = { from: 1_950_000_000, count: 2 }
  const [one, two, three] = [folder(), folder(), folder()]
  expect(await claimUid(range, one, claims)).toBe(range.from)
  expect(await claimUid(range, two, claims)).toBe(range.from + 1)
  expect(await refusal(claimUid(range, three, claims))).toMatchObject({
    code: "OVM_TOO_MANY",
    message: expect.stringContaining("all 2 user ids"),
  })
  // Whoever does not have it cannot give it back.
  releaseUid(range.from, two, claims)
  expect((await refusal(claimUid(range, three, claims))).code).toBe("OVM_TOO_MANY")
  releaseUid(range.from, one, claims)
  expect(await claimUid(range, three, claims)).toBe(range.from)
  rmSync(two, { recursive: true })
  expect(await claimUid(range, one, claims)).toBe(range.from + 1)
})

test.skipIf(!isRoot)(
  "a jail that an earlier life left is emptied, and one that cannot be made says why",
  async () => {
    const directory = folder()
    const program = join(folder(), "firecracker")
    writeFileSync(program, "#!/bin/sh\n", { mode: 0o755 })
    const jailer = { path: "/jailer", uids: UIDS }
    const first = await makeJail(program, jailer, directory)
    const outside = join(root, "outside")
    writeFileSync(outside, "kept")
    writeFileSync(join(first.folder, "left"), "")
    symlinkSync(outside, join(first.folder, "link"))
    symlinkSync(root, join(first.folder, "folder"))
    const second = await makeJail(program, jailer, directory)
    expect(readdirSync(second.folder)).toEqual(["log"])
    expect(statSync(second.folder).uid).toBe(second.jail.uid)
    expect(readFileSync(outside, "utf8")).toBe("kept")
    await leaveJail(directory)
    expect(readdirSync(directory)).toEqual([])
    rmSync(directory, { recursive: true })
    expect(await refusal(makeJail(program, jailer, directory))).toMatchObject({
      code: "OVM_VMM_FAILED",
      message: expect.stringContaining(`no jail in ${directory}`),
    })
  },
)

const UNDER = {
  module: join(import.meta.dir, "..", "index.ts"),
  factory: "firecracker",
  missing: "",
  snapshots: true,
}

const place = mkdtempSync(join(tmpdir(), "ovm-jail-here-"))
const missing = await firecracker(place)
  .capabilities()
  .then(
    ({ jailed }) => (jailed?.active ? "" : `(skipped: ${jailed?.reason})`),
    (thrown: unknown) => `(skipped: ${thrown instanceof Error ? thrown.message : thrown})`,
  )
rmSync(place, { recursive: true, force: true })

describe.skipIf(missing !== "")(`machines in jails ${missing}`, () => {
  // A path that no socket could have.
  const bench = new Bench(join(root, "deep".repeat(40)), UNDER)
  beforeAll(async () => {
    mkdirSync(bench.root, { mode: 0o700 })
    await bench.open(await buildGuest())
  })
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
  })

  const plan = (args: string) => {
    const base = bench.path("base.raw")
    writeFileSync(base, Buffer.alloc(MiB), { mode: 0o600 })
    const disk = { layers: [{ path: base, format: "raw" as const }], size: MiB, writable: true }
    const resources = { vcpus: 1, memory: 64 * MiB }
    return bench.planOf(args, { disk, resources })
  }

  /** What the VMM is, and sees. */
  const seen = ({ record: { pid } }: Machine) => {
    const status = readFileSync(`/proc/${pid}/status`, "latin1")
    const of = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1]
    return { uid: Number(of("Uid")), capabilities: of("CapEff"), files: readdirSync(`/proc/${pid}/root`) }
  }

  test("a VMM sees what it uses alone, as a user of its own without privileges, and nothing of its jail stays [OVMS-CNF-057, OVMS-API-517, OVMS-API-518, OVMS-API-519]", async () => {
    const shots = new SnapshotBench(bench)
    const machine = await bench.vmm.launch(plan("tick_ms=10 hlt=1 write=1"))
    await bench.until(machine, "TICK 2\r\n")
    const one = seen(machine)
    expect(one.files.sort()).toEqual(["api.sock", "dev", "disk.raw", "firecracker.pid", "log", "run"])
    expect(one).toMatchObject({ capabilities: "0000000000000000" })
    // Whoever looks from outside finds it by the name of its folder.
    const called = readFileSync(`/proc/${machine.record.pid}/cmdline`, "utf8").split("\0")
    expect(called).toContain(basename(machine.record.directory))
    const sink = { ram: bench.path("ram"), state: bench.path("state"), overlay: bench.path("overlay") }
    const { origin } = await shots.take(machine, sink)
    for (const file of Object.values(sink)) expect([file, statSync(file).uid]).toEqual([file, 0])
    expect(origin.ram).toEqual({ path: sink.ram })
    const other = await bench.vmm.launch(plan("tick_ms=10 hlt=1"))
    await bench.until(other, "TICK 2\r\n")
    const two = seen(other)
    expect(new Set([0, one.uid, two.uid]).size).toBe(3)
    for (const { uid } of [one, two]) expect(existsSync(`/run/ovm-jails/${uid}`)).toBe(true)
    await machine.stop({ graceMs: 0 })
    process.kill(other.record.pid, "SIGKILL")
    await other.exited
    for (const { record } of [machine, other])
      for (const name of ["jail", "jailed"]) expect(existsSync(join(record.directory, name))).toBe(false)
    for (const { uid } of [one, two])
      expect(lstatSync(`/run/ovm-jails/${uid}`, { throwIfNoEntry: false })).toBeUndefined()
  })

  test("a volume that another one writes to fails the start by its name, and several may read it [OVMS-VOL-010]", async () => {
    const path = bench.path("volume.raw")
    writeFileSync(path, Buffer.alloc(MiB), { mode: 0o600 })
    const resources = { vcpus: 1, memory: 64 * MiB }
    const launch = async (readOnly: boolean) => {
      const volumes = [{ path, serial: "data", readOnly }]
      const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 hlt=1", { resources, volumes }))
      await bench.until(machine, "TICK 2\r\n")
      return machine
    }
    const refused = async (readOnly: boolean) =>
      expect(await refusal(launch(readOnly))).toMatchObject({
        code: "OVM_VOLUME_IN_USE",
        message: expect.stringContaining("the volume data"),
      })
    const writer = await launch(false)
    for (const readOnly of [true, false]) await refused(readOnly)
    await writer.stop({ graceMs: 0 })
    const readers = [await launch(true), await launch(true)]
    await refused(false)
    for (const machine of readers) await machine.stop({ graceMs: 0 })
    await (await launch(false)).stop({ graceMs: 0 })
  })

  test("one whose launcher and keeper were killed is found in its jail, adopted, and leaves nothing [OVMS-API-519]", async () => {
    const resources = { vcpus: 1, memory: 64 * MiB }
    const record = await bench.launchElsewhere(bench.planOf("tick_ms=10 hlt=1", { resources }))
    const { directory, pid } = record
    const [, keeper = ""] = /^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? []
    process.kill(Number(keeper), "SIGKILL")
    rmSync(join(directory, "pid"))
    expect((await vmmIn(directory))?.pid).toBe(pid)
    const machine = await bench.vmm.adopt(record)
    expect(machine.guest).toEqual({ running: true })
    await machine.stop({ graceMs: 0 })
    expect(await machine.exited).toMatchObject({ reason: "lost" })
    expect(existsSync(join(directory, "jail"))).toBe(false)
  })
})
