import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync } from "node:fs"
import { chmod, mkdir, writeFile } from "node:fs/promises"
import { join, resolve } from "node:path"
import { processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { finished, Sandbox } from "./sandbox.ts"

// Each step is a process of its own, and a machine, on a host that may be busy.
setDefaultTimeout(240_000)

interface Step {
  readonly name: string
  readonly state: string
  readonly reason?: string
  readonly code?: string
}

const EXAMPLE = resolve(import.meta.dir, "../../../examples/adapters/python")
const skip =
  (Bun.which("qemu-system-x86_64") ? "" : "(skipped: qemu-system-x86_64 is not installed)") ||
  (Bun.which("python3") ? "" : "(skipped: python3 is not installed)")
if (skip) console.log(`SKIP packages/ovm/test/vmm.test.ts: ${skip}`)

/** Answers one question, and stays. */
const DEAF = `echo '{"adapter":"deaf","contract":1,"version":"1"}'
read -r line; echo '{"id":1,"error":{"code":"OVM_VMM_MISSING","message":"none"}}'
while :; do sleep 0.1; done`

describe.skipIf(Boolean(skip))("virtual machine monitors, listed and tried", () => {
  let box: Sandbox
  let env: Record<string, string>
  beforeAll(async () => {
    box = await Sandbox.create()
    await mkdir(box.path("bin"))
    env = { PATH: `${box.path("bin")}:${EXAMPLE}:${process.env.PATH}` }
  })
  afterAll(() => box[Symbol.asyncDispose]())

  async function adapter(name: string, script: string): Promise<void> {
    const path = join(box.path("bin"), `ovm-vmm-${name}`)
    await writeFile(path, `#!/bin/sh\n${script}\n`)
    await chmod(path, 0o755)
  }

  async function trial(name: string): Promise<{ status: number; steps: Map<string, Step>; passed: boolean }> {
    const { status, stdout } = await box.ovm(["vmm", "test", name, "--json"], { env })
    const { steps, passed } = JSON.parse(stdout) as { steps: Step[]; passed: boolean }
    return { status, passed, steps: new Map(steps.map((step) => [step.name, step])) }
  }

  const trials = () => readdirSync(join(box.home, "trials")).filter((name) => name !== "lock")

  // OVMS-ADP-002
  test("an adapter on PATH is listed, and executed only once the operator has named it", async () => {
    await adapter("touches", `touch ${box.path("touched")}; echo nonsense`)
    const listed = async () => (await box.json(["vmm", "ls"], { env })).vmms
    const outside = { adapter: "outside", enabled: false }
    expect(await listed()).toMatchObject([
      { name: "qemu", adapter: "built in", enabled: true, powers: expect.anything() },
      { name: "firecracker", adapter: "built in" },
      { name: "pyqemu", path: join(EXAMPLE, "ovm-vmm-pyqemu"), ...outside },
      { name: "touches", ...outside },
    ])
    expect(existsSync(box.path("touched"))).toBe(false)
    await mkdir(box.home, { recursive: true })
    await writeFile(join(box.home, "daemon.json"), '{"vmms":["pyqemu","touches"]}')
    const [first, second, qemu] = await listed()
    expect(first).toMatchObject({ name: "pyqemu", enabled: true, accelerators: ["tcg"] })
    const offers = new Map(first.powers.map((one: { name: string }) => [one.name, one]))
    expect(offers.get("bios")).toMatchObject({ offered: true })
    expect(offers.get("shares")).toMatchObject({ offered: false, reason: expect.stringContaining("shares") })
    expect(second).toMatchObject({ name: "touches", enabled: true, error: { code: "OVM_VMM_FAILED" } })
    expect(qemu).toMatchObject({ name: "qemu", enabled: false })
    expect(existsSync(box.path("touched"))).toBe(true)
  })

  test("an adapter that keeps to the contract passes every step but the snapshot, and nothing is left", async () => {
    const { status, steps, passed } = await trial("pyqemu")
    const states = [...steps.values()].map(({ name, state, reason }) => [name, state, reason])
    expect({ status, passed, states: states.filter(([, state]) => state !== "passed") }).toEqual({
      status: 0,
      passed: true,
      states: [["snapshot", "skipped", "it takes no snapshots"]],
    })
    expect(trials()).toEqual([])
  })

  test.each([
    ["gone", "exit 3", "installed", "it ended with status 3"],
    ["deaf", DEAF, "nothing left", "did not end when its input did"],
  ])("an adapter that is wrong fails by name: %s", async (name, script, step, why) => {
    await adapter(name, script)
    const { status, steps, passed } = await trial(name)
    expect({ status, passed }).toEqual({ status: 1, passed: false })
    expect(steps.get(step)).toMatchObject({
      state: "failed",
      code: "OVM_VMM_FAILED",
      reason: expect.stringContaining(why),
    })
    expect(trials()).toEqual([])
  })

  test("a trial that is killed in the middle leaves a machine, which the next one ends", async () => {
    const child = box.begin(["vmm", "test", "qemu"], { env })
    const over = finished(child)
    const machine = await until("a machine", () => {
      const [folder] = existsSync(join(box.home, "trials")) ? trials() : []
      const directory = folder && join(box.home, "trials", folder, "machine")
      return directory && processesIn(directory).length > 0 ? directory : ""
    })
    child.kill("SIGKILL")
    await over
    const steps = await trial("qemu")
    expect(steps).toMatchObject({ status: 0, passed: true })
    expect(steps.steps.get("snapshot")).toMatchObject({ state: "passed" })
    expect([processesIn(machine), trials()]).toEqual([[], []])
  })

  test("what no VMM can be called is refused", async () => {
    await box.fails(["vmm", "test", "../qemu"], "OVM_USAGE", ["../qemu"])
  })
})
