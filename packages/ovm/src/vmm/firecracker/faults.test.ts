import { afterAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { randomMac } from "../../network/mac.ts"
import { findPasst } from "../../network/passt.ts"
import type { LaunchPlan } from "../plan.ts"
import { fakeFirecracker, foundFake } from "./fake.testing.ts"
import { findFirecracker, firecrackerVersion, isInstalled } from "./find.ts"
import { launchFirecracker } from "./launch.ts"
import { modelOfFirecracker } from "./model.ts"
import { kvmFault, probeKernel, probeKvm } from "./probe.ts"
import { startFirecracker } from "./start.ts"

setDefaultTimeout(60_000)

const root = mkdtempSync(join(tmpdir(), "ovm-fake-firecracker-"))
afterAll(() => rmSync(root, { recursive: true }))
const kernel = join(root, "kernel")
let count = 0
beforeEach(() => {
  count++
})

function program(name: string, script: string): string {
  const path = join(root, `${count}-${name}`)
  writeFileSync(path, script, { mode: 0o755 })
  return path
}

const shell = (name: string, script: string) => program(name, `#!/bin/sh\n${script}\n`)

const fake = (faults: Readonly<Record<string, string>>) =>
  fakeFirecracker(join(root, `${count}-firecracker`), faults)

async function planHere(): Promise<LaunchPlan> {
  const directory = join(root, `${count}-machine`)
  mkdirSync(directory, { mode: 0o700 })
  const { buildGuest } = await import("@ovms/testkit/guest.ts")
  return {
    id: "test",
    directory,
    resources: { vcpus: 1, memory: 64 << 20 },
    kernel: { path: await buildGuest(), args: "" },
    devices: [],
    consoleLimit: 4096,
  }
}

const launch = (binary: string, plan: LaunchPlan, signal?: AbortSignal) =>
  launchFirecracker(
    foundFake(binary),
    { plan, cacheFolder: join(root, "cache") },
    { ...(signal && { signal }) },
  )

/** How a launch by `binary` is refused; nothing of it is left. */
async function launchBy(binary: string, signal?: AbortSignal) {
  const plan = await planHere()
  const error = await refusal(launch(binary, plan, signal))
  expect(processesIn(plan.directory)).toEqual([])
  return error
}

const STEPS = ["GET /version", "PUT /boot-source", "PUT /machine-config", "PUT /entropy", "PUT /actions"]

test.each(STEPS)("one that ends at %s says why", async (step) => {
  const error = await launchBy(fake({ [step]: "end 3" }))
  expect(error).toMatchObject({
    code: "OVM_VMM_FAILED",
    message: expect.stringContaining("what it says at its end"),
    detail: { status: 3 },
  })
})

test("one that ends with 0 has failed all the same", async () => {
  const error = await launchBy(fake({ "PUT /actions": "end 0" }))
  expect(error).toMatchObject({ code: "OVM_VMM_FAILED", detail: { status: 0 } })
})

test.each(STEPS)("one that refuses %s is told in its words", async (step) => {
  const error = await launchBy(fake({ [step]: "it cannot\u001b[2J do that" }))
  expect(error.message).toContain(`${step}: it cannot [2J do that`)
  expect(error.code).toBe("OVM_VMM_FAILED")
})

test("one that hangs is given up", async () => {
  expect(await launchBy(fake({ "PUT /boot-source": "hang" }))).toMatchObject({
    code: "OVM_VMM_TIMEOUT",
    message: expect.stringContaining("PUT /boot-source"),
  })
})

test("a launch that hangs can be interrupted", async () => {
  const error = await launchBy(fake({ "PUT /actions": "hang" }), AbortSignal.timeout(2000))
  expect(error.code).toBe("OVM_INTERRUPTED")
})

test("what answers and is no Firecracker is not believed", async () => {
  const error = await launchBy(fake({ "GET /version": "say <html>" }))
  expect(error).toMatchObject({ code: "OVM_VMM_FAILED", message: expect.stringContaining("version") })
})

test("one that ends before it listens, and one that is no program, say why", async () => {
  const ends = await launchBy(shell("ends", "echo out of something >&2; exit 0"))
  expect(ends).toMatchObject({ code: "OVM_VMM_FAILED", message: expect.stringContaining("out of something") })
  count++
  expect((await launchBy(join(root, "nothing"))).code).toBe("OVM_VMM_FAILED")
})

const noPasst = findPasst() ? "" : "(skipped: there is no passt)"

test.skipIf(noPasst !== "")(
  `one whose jail's log cannot be opened leaves no descriptor of its link ${noPasst}`,
  async () => {
    const directory = join(root, `${count}-machine`)
    mkdirSync(directory, { mode: 0o700 })
    const mac = randomMac()
    const plan: LaunchPlan = {
      ...{ id: "test", directory, devices: [], consoleLimit: 4096 },
      resources: { vcpus: 1, memory: 64 << 20 },
      network: { mode: "user", mac, outbound: true, forwards: [] },
    }
    const found = foundFake(fake({}))
    const model = modelOfFirecracker(plan, found)
    const jail = { base: directory, uid: 0, argv: [found.binary], program: found.binary }
    const starting = { found, plan, workplace: { folder: directory, jail }, overlay: undefined, model }
    const descriptors = () => readdirSync("/proc/self/fd").length
    const before = descriptors()
    const error = await refusal(startFirecracker(starting, {}, async () => {}))
    expect(error).toMatchObject({ message: expect.stringContaining(`${directory}/log`) })
    expect(descriptors()).toBe(before)
    expect(processesIn(directory)).toEqual([])
  },
)

test("what is not on PATH is told with what to install", async () => {
  expect(isInstalled({ PATH: root })).toBe(false)
  const error = await refusal(Promise.try(() => findFirecracker({ PATH: root })))
  expect(error).toMatchObject({ code: "OVM_VMM_MISSING", message: expect.stringContaining("PATH") })
  expect(error.hint).toContain("firecracker-microvm")
  const said = join(root, "no-program")
  const other = await refusal(Promise.try(() => findFirecracker({ OVM_FIRECRACKER: said })))
  expect(other.message).toContain(said)
})

test.each([
  ["1.12.0", "older"],
  ["2.0.0", "later"],
  ["", "silent"],
])("version %p is refused", async (version) => {
  const path = shell("version", `echo "Firecracker v${version}"`)
  const error = await refusal(firecrackerVersion(findFirecracker({ OVM_FIRECRACKER: path })))
  expect(error.code).toBe("OVM_VMM_MISSING")
})

test("a version that is known is told", async () => {
  const path = shell("version", "echo 'Firecracker v1.13.2'; echo; echo 'it ends'")
  expect(await firecrackerVersion(findFirecracker({ OVM_FIRECRACKER: path }))).toBe("1.13.2")
})

test("a probe that hangs, fails or cannot be run is the verdict", async () => {
  const hangs = await refusal(probeKvm(shell("hangs", "exec sleep 60"), join(root, "cache"), 200))
  expect(hangs).toMatchObject({ code: "OVM_VMM_MISSING", message: expect.stringContaining("200 ms") })
  const fails = await refusal(
    probeKvm(shell("fails", "echo '/dev/kvm: no such thing' >&2; exit 1"), join(root, "cache")),
  )
  expect(fails.message).toContain("no such thing")
  expect((await refusal(probeKvm(join(root, "nothing"), join(root, "cache")))).code).toBe("OVM_VMM_MISSING")
  expect(await probeKvm(shell("works", "exit 0"), join(root, "cache"))).toContain("KVM ran the probe")
})

test("a KVM that cannot be opened is said to be so", () => {
  expect(kvmFault(join(root, "no-kvm"))?.reason).toContain("no-kvm")
  writeFileSync(kernel, probeKernel())
  expect(kvmFault(kernel)).toBeUndefined()
})

// What resets a Linux whose agent is about to bring what was written to the disk.
test("a guest whose agent was asked is left to that for a while before its keys are pressed", async () => {
  const binary = fake({ "PUT /actions SendCtrlAltDel": "end 0" })
  const first = await launch(binary, await planHere())
  const stopped = first.stop({ told: true, graceMs: 600_000 })
  await Bun.sleep(300)
  process.kill(first.record.pid, "SIGKILL")
  expect(await stopped).toBe("guest")
  expect(await first.exited).toMatchObject({ reason: "signal" })
  count++
  const second = await launch(binary, await planHere())
  await second.stop({ told: true, graceMs: 1000 })
  expect(await second.exited).toMatchObject({ reason: "guest-shutdown" })
})
