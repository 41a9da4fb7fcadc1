import { expect, test } from "bun:test"
import { readdirSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { refusal } from "@ovms/testkit/disks.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { still, until } from "@ovms/testkit/until.ts"
import { type Bench, MiB, sizeOf } from "./bench.testing.ts"
import type { Machine } from "./machine.ts"

/** From launch to exit, and everything that may come between. */
export function lifecycleSuite(bench: Bench): void {
  const panic = bench.skips("panic")

  test("says what is installed, and says it again from its cache", async () => {
    const found = await bench.vmm.capabilities()
    expect(found.name).toBe(bench.vmm.name)
    expect(found.version).toMatch(/^\d+\.\d+/)
    expect(found.accelerators).toContain(found.accelerator)
    expect(found.acceleratorReason).not.toBe("")
    expect(await bench.vmm.capabilities()).toEqual(found)
  })

  // OVMS-GST-001, OVMS-GST-011, OVMS-GST-020
  test("runs a guest to its end", async () => {
    const [end, last, reason] = bench.skips("power-off").skip
      ? ["", "GUEST-DONE", "guest-reset"]
      : [" off=1", "GUEST-OFF", "guest-shutdown"]
    const machine = await bench.vmm.launch(
      bench.planOf(`tick_ms=10 ticks=3${end}`, { resources: { vcpus: 2, memory: 96 * MiB } }),
    )
    const { version, accelerator } = await bench.vmm.capabilities()
    expect(machine.record).toMatchObject({ vmm: bench.vmm.name, version, accelerator })
    const text = await bench.until(machine)
    expect(text).toContain(`CMDLINE [tick_ms=10 ticks=3${end}`)
    expect(text).toContain("TICK 3")
    expect(text).toContain(last)
    expect(Number(/ram_kib=(\d+)/.exec(text)?.[1])).toBeGreaterThan(90 << 10)
    expect(await machine.exited).toMatchObject({ status: 0, reason })
    expect(await machine.usage()).toBeUndefined()
    expect(await machine.stop()).toBe("already")
    expect((await refusal(machine.pause())).code).toBe("OVM_STATE_CONFLICT")
  })

  // OVMS-GST-051
  test("tells a reset from a power-off", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=1 ticks=1"))
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-reset" })
  })

  // OVMS-GST-051
  test("a guest's fault that resets it is told from a power-off as well", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=1 ticks=1 fault=1"))
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-reset" })
  })

  // OVMS-STA-030, OVMS-GST-052
  test.skipIf(panic.skip)(`a guest that panics is seen to, and ended${panic.note}`, async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=1 ticks=1 panic=1"))
    expect(await machine.exited).toMatchObject({ reason: "guest-panic" })
    expect(await bench.until(machine)).toContain("GUEST-PANIC")
  })

  // OVMS-STA-030
  test.skipIf(panic.skip)(
    `a guest that panicked while nobody looked is found out, and ended${panic.note}`,
    async () => {
      // Whoever launched it has gone by then.
      const record = await bench.launchElsewhere(bench.planOf("tick_ms=1000 ticks=1 panic=1"))
      while (!readConsoleSoFar(record.directory).includes("GUEST-PANIC")) await sleep(10)
      await sleep(50)
      const machine = await bench.vmm.adopt(record)
      expect(await machine.exited).toMatchObject({ reason: "guest-panic" })
    },
  )

  test("what the guest does is told, whoever has it do that", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=1"))
    expect(machine.guest).toEqual({ running: true })
    const told: boolean[] = []
    machine.onGuest(() => told.push(machine.guest.running))
    await machine.pause()
    expect(machine.guest).toEqual({ running: false, reason: "request" })
    machine.detach()
    const again = await bench.vmm.adopt(machine.record)
    expect(again.guest).toEqual({ running: false, reason: "request" })
    await again.resume()
    expect(again.guest).toEqual({ running: true })
    expect(told).toEqual([false])
    await again.stop({ graceMs: 0 })
  })

  // OVMS-GST-050, OVMS-GST-054
  test("stops a guest that listens", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 button=1"))
    await bench.until(machine, "TICK")
    expect(await machine.stop()).toBe("guest")
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
    expect(await bench.until(machine)).toContain(bench.under.asked ?? "POWER-BUTTON")
  })

  test("stops a paused guest by its power button", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 button=1"))
    await bench.until(machine, "TICK")
    await machine.pause()
    expect(await machine.stop()).toBe("guest")
  })

  test("ends the VMM when the guest does not listen", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10"))
    await bench.until(machine, "TICK")
    expect(await machine.stop({ graceMs: 50 })).toBe("ended")
    expect(await machine.exited).toMatchObject({ status: bench.under.quit ?? 0, reason: "quit" })
  })

  test("kills a VMM that does not listen", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10"))
    process.kill(machine.record.pid, "SIGSTOP")
    expect(await machine.stop({ graceMs: 0 })).toBe("killed")
    expect(await machine.exited).toMatchObject({ status: 137, reason: "signal" })
  })

  test("a stop can be interrupted; the machine goes on", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10"))
    const signal = AbortSignal.timeout(50)
    expect((await refusal(machine.stop({ graceMs: 60_000, signal }))).code).toBe("OVM_INTERRUPTED")
    expect(await machine.stop({ graceMs: 0 })).toBe("ended")
  })

  test("pauses and resumes", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=1"))
    await bench.until(machine, "TICK 2")
    await machine.pause()
    const size = () =>
      readdirSync(machine.record.directory).reduce((sum, file) => sum + sizeOf(machine, file), 0)
    // What is in the pipe comes through.
    const before = await still("its console", size)
    await machine.resume()
    const { length } = await bench.until(machine, "TICK")
    await until("more on the console", size, { is: (size) => size > before })
    expect(length).toBeGreaterThan(0)
    await machine.stop({ graceMs: 0 })
  })

  test("two machines at once", async () => {
    const machines = await Promise.all(
      ["one", "two"].map((word) => bench.vmm.launch(bench.planOf(`${word} tick_ms=1 ticks=2`))),
    )
    const texts = await Promise.all(machines.map((machine) => bench.until(machine)))
    expect(texts.map((text) => /CMDLINE \[(\w+)/.exec(text)?.[1])).toEqual(["one", "two"])
  })

  test("a VMM that dies later is noticed", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10"))
    process.kill(machine.record.pid, "SIGKILL")
    expect(await machine.exited).toMatchObject({ status: 137, reason: "signal" })
  })

  test("an abort in mid-launch leaves nothing, whenever it comes", async () => {
    expect((await refusal(bench.vmm.launch(bench.planOf(""), { signal: AbortSignal.abort() }))).code).toBe(
      "OVM_INTERRUPTED",
    )
    for (const ms of [0, 2, 5, 10, 20]) {
      const plan = bench.planOf("tick_ms=10")
      const result = await bench.vmm
        .launch(plan, { signal: AbortSignal.timeout(ms) })
        .catch((thrown: unknown) => thrown)
      // A fast machine may be up before.
      if (result instanceof Error) expect(result).toMatchObject({ code: "OVM_INTERRUPTED" })
      else await (result as Machine).stop({ graceMs: 0 })
      expect(processesIn(plan.directory)).toEqual([])
    }
  })

  test("what was aborted in mid-launch takes nothing from the next machine in its folder", async () => {
    const directory = bench.path("machine")
    for (let nth = 0; nth < 8; nth++) {
      const call = new AbortController()
      const plan = bench.planOf("tick_ms=10", { directory })
      const launch = bench.vmm.launch(plan, { signal: call.signal }).catch(() => undefined)
      // Nobody has spoken to it yet.
      await until("it is spawned", () => processesIn(directory), { is: ({ length }) => length > 0 })
      call.abort()
      await (await launch)?.stop({ graceMs: 0 })
    }
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 button=1", { directory }))
    await bench.until(machine, "TICK 2")
    expect(await machine.stop()).toBe("guest")
  })

  test("lets go of a machine and takes it back", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 button=1"))
    machine.detach()
    const again = await bench.vmm.adopt(machine.record)
    await bench.until(again, "TICK 2")
    await again.pause()
    await again.resume()
    expect(await again.stop()).toBe("guest")
    expect(await again.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
  })

  test("outlives the process that launched it, and is adopted", async () => {
    const machine = await bench.vmm.adopt(await bench.launchElsewhere(bench.planOf("tick_ms=10 button=1")))
    expect(await bench.until(machine, "TICK 5")).toContain("TICK 1\r\n")
    expect((await machine.usage())?.rss).toBeGreaterThan(MiB)
    expect(await machine.stop()).toBe("guest")
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
  })

  // OVMS-STA-013
  test("an adopted machine that ended while nobody looked still has its exit status", async () => {
    const record = await bench.launchElsewhere(bench.planOf("tick_ms=1 ticks=1"))
    await until("its processes are gone", () => processesIn(record.directory), {
      is: ({ length }) => length === 0,
    })
    const machine = await bench.vmm.adopt(record)
    const told = bench.under.lifeOnly ? "ended" : "guest-reset"
    expect(await machine.exited).toMatchObject({ status: 0, reason: told })
    expect(await machine.stop()).toBe("already")
    expect(await bench.until(machine)).toContain("GUEST-DONE")
  })

  // OVMS-STA-012
  test("a pid of someone else, or of before the host restarted, is not taken for the machine", async () => {
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10"))
    for (const other of [{ startTime: 1 }, { bootId: "another" }, { pid: process.pid }]) {
      const found = await bench.vmm.adopt({ ...machine.record, ...other })
      expect(await found.stop()).toBe("already")
      expect(await found.usage()).toBeUndefined()
    }
    expect(await machine.stop({ graceMs: 0 })).toBe("ended")
  })
}

function readConsoleSoFar(directory: string): string {
  const files = readdirSync(directory).filter((name) => /^console\.\d+$/.test(name))
  return files.map((name) => readFileSync(`${directory}/${name}`, "latin1")).join("")
}
