import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { guestMissing } from "@ovms/testkit/guest.ts"
import { packGuest } from "@ovms/testkit/image.ts"
import { pidsIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { type GroupPlace, groupPlaces } from "../host/cgroup.ts"
import { processNice, sessionNice } from "../vmm/process/priority.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Defaults, MachineLimits } from "./limits.ts"
import type { LocalRuntime } from "./local.ts"
import { openRuntime } from "./runtime.testing.ts"

// A machine's share of the host's processors, with guests that want all of it.
setDefaultTimeout(240_000)

/** Over so long is measured, in ms: many of the kernel's periods of 100 ms. */
const WINDOW_MS = 4000
const QUOTA = 0.5
const missing = guestMissing || noGroups()

let root: string
let runtime: LocalRuntime
const folder = (id: string) => join(root, "instances", id)

/** Where a group for processor time is made. */
function place(): GroupPlace {
  const [first] = groupPlaces({ cpuQuota: QUOTA })
  if (!first) throw new Error("there is no place")
  return first
}

function noGroups(): string {
  try {
    place()
    return ""
  } catch (error) {
    return `(skipped: ${error instanceof Error ? error.message : error})`
  }
}

async function open(defaults: Partial<Defaults> = {}, machine: MachineLimits = {}): Promise<void> {
  runtime = await openRuntime(root, { defaults, limits: { machine } })
}

async function once(id: string, is: (info: InstanceInfo) => boolean): Promise<InstanceInfo> {
  return await until("that status", () => runtime.status(id), { is, everyMs: 5 })
}

const runs = ({ state, reachable }: InstanceInfo) => state === "running" && reachable === undefined

async function started(overrides: Overrides = {}): Promise<string> {
  const { instance_id: id } = await runtime.start({ manifest: "busy", overrides })
  await once(id, runs)
  return id
}

async function stopped(id: string): Promise<void> {
  await runtime.stop({ instance_id: id, grace_ms: 0 })
  await once(id, ({ state }) => state === "stopped" || state === "failed")
}

/** The group of the machine that runs. */
function groupOf(id: string): string {
  return readFileSync(join(folder(id), "cgroup"), "utf8")
}

function membersOf(group: string): number[] {
  return readFileSync(join(group, "cgroup.procs"), "utf8").trim().split("\n").map(Number)
}

/**
 * How many processors' time it has got over one window, and in which part of the kernel's periods it was held up. On a
 * busy host nobody knows when between question and answer its time was read: it has got `least` at least, and `most` at
 * most.
 */
async function taken(id: string, group: string): Promise<{ least: number; most: number; held: number }> {
  const look = async () => {
    const stat = readFileSync(join(group, "cpu.stat"), "utf8")
    const [periods, throttled] = ["nr_periods", "nr_throttled"].map((name) =>
      Number(new RegExp(`^${name} (\\d+)$`, "m").exec(stat)?.[1]),
    )
    const asked = performance.now()
    const { cpu_time_ms: used = 0 } = (await runtime.status(id)).resources
    return { asked, answered: performance.now(), used, periods, throttled }
  }
  const before = await look()
  await Bun.sleep(WINDOW_MS)
  const after = await look()
  const grown = (name: keyof typeof before) => (after[name] ?? 0) - (before[name] ?? 0)
  return {
    least: grown("used") / (after.answered - before.asked),
    most: grown("used") / (after.asked - before.answered),
    held: grown("throttled") / grown("periods"),
  }
}

/** Some windows, until the host had as much to give as there was to have. */
async function windows(id: string, group: string): Promise<{ most: number; held: number }> {
  let last = await taken(id, group)
  for (let more = 4; more > 0 && last.held <= 0.9; more--) last = await taken(id, group)
  expect(last.least).toBeLessThan(QUOTA * 1.1)
  return last
}

function weightOf(group: string): number {
  const file = place().version === 1 ? "cpu.shares" : "cpu.weight.nice"
  return Number(readFileSync(join(group, file), "utf8"))
}

/** As it is in that file. */
function niceWeight(nice: number): number {
  return place().version === 1 ? Math.round(1024 / 1.25 ** nice) : nice
}

describe.skipIf(missing !== "")(`a machine's share ${missing}`, () => {
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "ovm-share-"))
    await packGuest(join(root, "store"), "busy:latest", "tick_ms=0")
    await open()
  })
  afterEach(async () => {
    for (const { instance_id } of await runtime.list()) await runtime.remove(instance_id, { force: true })
    expect(readdirSync(join(root, "instances"))).toEqual([])
  })
  afterAll(async () => {
    await runtime.close()
    await rm(root, { recursive: true })
  })

  // OVMS-API-290, OVMS-API-291, OVMS-API-293
  test("a guest that wants all of a processor gets half of one, under the next daemon and in its next life too", async () => {
    const id = await started({ cpuQuota: QUOTA })
    const group = groupOf(id)
    expect((await runtime.status(id)).resources.cpu_quota).toBe(QUOTA)
    expect(membersOf(group)).toEqual(pidsIn(folder(id), "qemu-system-x86"))
    await runtime.close()
    await open()
    await once(id, runs)
    expect(weightOf(group)).toEqual(niceWeight(sessionNice() ?? processNice()))
    const { most, held } = await windows(id, group)
    // A host that is busy otherwise may give it less: it is not held up then.
    if (held > 0.9) expect(most).toBeGreaterThan(QUOTA * 0.9)
    await stopped(id)
    expect(existsSync(group)).toBe(false)
    await runtime.startAgain(id)
    await once(id, runs)
    expect((await runtime.status(id)).resources.cpu_quota).toBe(QUOTA)
    expect(membersOf(groupOf(id))).toHaveLength(1)
  })

  // OVMS-API-293
  test("the group of a machine whose keeper was killed goes with the machine", async () => {
    const id = await started({ cpuQuota: QUOTA })
    const group = groupOf(id)
    for (const pid of pidsIn(folder(id), "ovm-keeper")) process.kill(pid, "SIGKILL")
    await stopped(id)
    await until("that it is gone", async () => existsSync(group), { is: (there) => !there })
  })

  // OVMS-API-293
  test("what a daemon leaves that was killed before its VMM was there is removed by the next one", async () => {
    const id = crypto.randomUUID()
    await runtime.close()
    mkdirSync(folder(id))
    const group = join(place().folder, `ovm-${id}`)
    mkdirSync(group)
    await writeFile(join(folder(id), "cgroup"), group)
    await writeFile(join(folder(id), "unrecorded"), "")
    await open()
    await until("that it is gone", async () => existsSync(group) || existsSync(folder(id)), {
      is: (left) => !left,
    })
  })

  // OVMS-API-290
  test("the operator's word is for new machines that say nothing", async () => {
    const before = await started()
    expect(existsSync(join(folder(before), "cgroup"))).toBe(false)
    await runtime.close()
    await open({ cpuQuota: 1.5 })
    await once(before, runs)
    const one = await started()
    expect((await runtime.status(one)).resources.cpu_quota).toBe(1.5)
    expect((await runtime.status(await started({ cpuQuota: QUOTA }))).resources.cpu_quota).toBe(QUOTA)
    await runtime.restart(before, { graceMs: 0 })
    expect((await once(before, runs)).resources.cpu_quota).toBeUndefined()
    await runtime.close()
    await open()
  })

  // OVMS-LIM-025
  test("what an operator bounds besides is, for new machines and those that are started again", async () => {
    const before = await started()
    await stopped(before)
    await runtime.close()
    await open({}, { memoryOverhead: 96 << 20, pids: 100, cpuWeight: 50 })
    await runtime.startAgain(before)
    await once(before, runs)
    for (const id of [before, await started()]) {
      const groups = groupOf(id).split("\n")
      const said = (...names: string[]) => {
        const [path] = groups.flatMap((group) => names.map((name) => join(group, name))).filter(existsSync)
        return Number(readFileSync(path ?? "", "utf8"))
      }
      expect(said("memory.max", "memory.limit_in_bytes")).toBe((32 + 96) << 20)
      expect(said("pids.max")).toBe(100)
      expect([said("cpu.weight", "cpu.shares"), place().version]).toEqual(
        place().version === 1 ? [512, 1] : [50, 2],
      )
      for (const group of groups) expect(membersOf(group)).toEqual(pidsIn(folder(id), "qemu-system-x86"))
      await stopped(id)
      expect(groups.filter(existsSync)).toEqual([])
    }
    await runtime.close()
    await open()
  })

  // OVMS-LIM-025
  test("what an operator bounds and the kernel has no bound for is refused by name", async () => {
    const weighed = ["bfq.weight", "weight"].some((name) => existsSync(`/sys/fs/cgroup/blkio/blkio.${name}`))
    if (weighed || place().version === 2) return
    await runtime.close()
    await open({}, { ioWeight: 50 })
    const { code, message } = await refusal(runtime.start({ manifest: "busy" }))
    expect([code, message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("limits.machine.ioWeight")])
    await runtime.close()
    await open()
  })

  test("a bound that the kernel does not take ends the start, and leaves no group", async () => {
    const id = (await runtime.start({ manifest: "busy", overrides: { cpuQuota: 1e12 } })).instance_id
    const { state, error } = await once(id, ({ state }) => state !== "starting")
    expect([state, error?.code, error?.message]).toEqual([
      "failed",
      "OVM_UNSUPPORTED",
      expect.stringContaining("cpuQuota"),
    ])
    expect(readdirSync(place().folder).filter((name) => name.includes(id))).toEqual([])
  })

  test("more processors than the host has are warned of", async () => {
    const many = availableParallelism() + 1
    const { warnings } = await runtime.status(await started({ vcpus: many }))
    const said = `/resources/vcpus: ${many}`
    expect(warnings.join()).toContain(said)
    expect((await runtime.status(await started())).warnings.join()).not.toContain("/resources/vcpus")
  })
})

const NOBODY = { uid: 65534, cwd: "/", encoding: "utf8" } as const
const others =
  process.getuid?.() !== 0
    ? "(skipped: only root can be somebody else)"
    : spawnSync(process.execPath, ["--version"], NOBODY).status === 0
      ? ""
      : "(skipped: nobody else can run the program from where it is)"
if (others) console.log(`SKIP packages/ovm/src/runtime/share.test.ts: ${others}`)

// OVMS-API-292
test.skipIf(others !== "")(
  `where no group can be made, a bound is refused with what is needed ${others}`,
  () => {
    const script = `
    import { groupPlaces } from ${JSON.stringify(join(import.meta.dir, "../host/cgroup.ts"))}
    try { groupPlaces({ cpuQuota: 1 }) } catch ({ code, message, hint, detail }) { console.log(JSON.stringify({ code, message, hint, detail })) }`
    const { stdout } = spawnSync(process.execPath, ["-e", script], NOBODY)
    const error = JSON.parse(stdout)
    expect(error.code).toBe("OVM_UNSUPPORTED")
    expect(error.message).toStartWith("cpuQuota: this daemon may make no control group")
    expect(error.detail).toEqual([expect.objectContaining({ pointer: "cpuQuota" })])
    expect(error.hint).toContain("root")
  },
)
