import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { OvmError } from "../../../errors.ts"
import { Bench } from "../../bench.testing.ts"
import type { Machine } from "../../machine.ts"
import { endStray } from "../../process/stray.ts"
import { SnapshotBench } from "../../snapshot-bench.testing.ts"
import { findQemu } from "../find.ts"
import { connectQmp } from "../qmp.ts"

setDefaultTimeout(240_000)

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

// moments.suite.ts begins with the first instruction; this is about the last ones.
describe.skipIf(missing !== "")(`a guest that is about to end ${missing}`, () => {
  const under = { module: join(import.meta.dir, "../index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-instant-")), under)
  const shots = new SnapshotBench(bench)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })
  const launch = (args: string) =>
    bench.vmm.launch(bench.planOf(args, { resources: { vcpus: 1, memory: 16 << 20 } }))

  // OVMS-SNP-135
  test("one that sleeps is no snapshot", async () => {
    const machine = await launch("tick_ms=1 ticks=1 sleep=1")
    await bench.until(machine, "GUEST-SLEEPS")
    const error = await refusal(shots.take(machine))
    expect([error.code, error.message]).toEqual(["OVM_STATE_CONFLICT", expect.stringContaining("suspended")])
    await shots.end(machine)
  })

  // OVMS-SNP-135
  for (const [args, words, reason] of [
    ["", "GUEST-DONE", "guest-reset"],
    ["off=1", "GUEST-OFF", "guest-shutdown"],
    ["panic=1", "GUEST-PANIC", "guest-panic"],
  ] as const)
    test(`one that ends by ${reason} while it is copied is no snapshot, or one that ends the same way`, async () => {
      const machine = await launch(`tick_ms=10 ticks=60 hlt=1 ${args}`)
      await bench.until(machine, "TICK 1")
      const taken: Awaited<ReturnType<typeof shots.take>>[] = []
      for (;;)
        try {
          taken.push(await shots.take(machine))
        } catch (error) {
          // Its VMM is gone, or the guest has come to its end.
          expect(error).toBeInstanceOf(OvmError)
          expect((error as OvmError).code).toMatch(/^OVM_(VMM_FAILED|STATE_CONFLICT)$/)
          break
        }
      expect(await machine.exited).toMatchObject({ reason })
      const last = taken.at(-1)
      if (!last) throw new Error("the guest was too fast")
      const clone = await shots.clone(last.origin)
      // The instant may have been in the middle of the word, whose beginning the source has said then.
      const said = await bench.until(clone)
      expect([said, said.includes(words) || `${words}\r\n`.endsWith(said)]).toEqual([said, true])
      expect(await clone.exited).toMatchObject({ reason })
    })

  test("one whose power button was pressed hears of it where it goes on", async () => {
    const machine: Machine = await launch("tick_ms=10 hlt=1 button=1")
    await bench.until(machine, "TICK 2")
    await machine.pause()
    machine.detach()
    const qmp = await connectQmp(machine.record.directory, { timeoutMs: 5000 })
    await qmp?.execute("system_powerdown")
    qmp?.close()
    const adopted = await bench.vmm.adopt(machine.record)
    const { origin } = await shots.take(adopted)
    await shots.end(adopted)
    const clone = await shots.clone(origin)
    expect(await bench.until(clone)).toContain("POWER-BUTTON")
    expect(await clone.exited).toMatchObject({ reason: "guest-shutdown" })
  })

  test("one that ends while QEMU is asked something has ended all the same", async () => {
    const end = async () => {
      const machine = await launch("tick_ms=10 ticks=10 hlt=1")
      const asking = async () => {
        for (;;) await machine.overlay?.()
      }
      expect((await refusal(asking())).code).toMatch(/^OVM_(VMM_FAILED|VMM_TIMEOUT|STATE_CONFLICT)$/)
      // What it said last may be lost with the connection.
      const { status, reason } = await machine.exited
      expect(["guest-reset", "ended"]).toContain(reason)
      expect(status).toBe(0)
    }
    for (let round = 0; round < 6; round++) await Promise.all([end(), end()])
  })
})
