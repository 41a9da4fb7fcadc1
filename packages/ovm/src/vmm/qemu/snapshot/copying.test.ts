import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { Bench, MiB } from "../../bench.testing.ts"
import { endStray } from "../../process/stray.ts"
import { SnapshotBench } from "../../snapshot-bench.testing.ts"
import { findQemu } from "../find.ts"
import { connectQmp, type Qmp } from "../qmp.ts"
import { copyingOf } from "./copying.ts"
import { snapshotQemu } from "./take.ts"

setDefaultTimeout(180_000)

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

/** Whether the guest stands still throughout, and the first downtime that it is granted. */
function told(accelerator: string, version: string): [boolean, number] {
  const { stopped, steps } = copyingOf({ accelerator, version })
  return [stopped, steps[0].downtime]
}

test("emulation that misses writes has its pages looked at only where it misses none", () => {
  expect(told("tcg", "7.2.22")).toEqual([false, 0])
  expect(copyingOf({ accelerator: "tcg", version: "7.2.22" }).steps).toHaveLength(1)
  for (const version of ["8.0.0", "8.2.2", "strange"]) expect(told("tcg", version)).toEqual([true, 0])
})

test("all others copy again what was written meanwhile", () => {
  for (const version of ["9.0.0", "10.0.2"]) expect(told("tcg", version)).toEqual([false, 30])
  for (const version of ["7.2.22", "8.2.2"]) expect(told("kvm", version)).toEqual([false, 30])
})

describe.skipIf(missing !== "")(`how RAM is copied ${missing}`, () => {
  const under = { module: join(import.meta.dir, "../index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-copying-")), under)
  const shots = new SnapshotBench(bench)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  /** A busy machine whose monitor is ours. */
  async function busy() {
    const resources = { vcpus: 1, memory: 96 * MiB }
    const machine = await bench.vmm.launch(bench.planOf("busy=64 tick_ms=20", { resources }))
    await bench.until(machine, "TICK 3")
    machine.detach()
    const qmp = await connectQmp(machine.record.directory, { timeoutMs: 5000 })
    if (!qmp) throw new Error("the monitor is gone")
    const statuses: unknown[] = []
    qmp.subscribe(({ event, data }) => {
      if (event === "STOP" || event === "MIGRATION_PASS") statuses.push(event)
      if (event === "MIGRATION" && data.status === "setup") statuses.push(event)
    })
    return { record: { ...machine.record, accelerator: "tcg" }, qmp, statuses }
  }

  async function release(qmp: Qmp, record: Parameters<typeof bench.vmm.adopt>[0]) {
    qmp.close()
    const machine = await bench.vmm.adopt(record)
    const count = (await shots.ticks(machine)).length
    await shots.ticks(machine, 2)
    expect((await shots.ticks(machine)).length).toBeGreaterThan(count)
    await shots.end(machine)
  }

  test("of an emulation of 7: its pages are looked at twice, the second time when the guest stands still", async () => {
    const { record, qmp, statuses } = await busy()
    await snapshotQemu({ ...record, version: "7.2.22" }, qmp, shots.sink())
    expect(statuses).toEqual(["MIGRATION", "MIGRATION_PASS", "STOP", "MIGRATION_PASS"])
    await release(qmp, record)
  })

  test("of an emulation of 8: the guest stands still throughout, and both go on", async () => {
    const { record, qmp, statuses } = await busy()
    const { origin, running, timings } = await snapshotQemu(
      { ...record, version: "8.2.2" },
      qmp,
      shots.sink(),
    )
    expect(statuses.slice(0, 2)).toEqual(["STOP", "MIGRATION"])
    expect(running).toBe(true)
    expect(timings.paused).toBeGreaterThan(0)
    const clone = await shots.clone({ ...origin, version: record.version, accelerator: record.accelerator })
    await shots.ticks(clone, 3)
    expect(await shots.now(clone)).not.toContain("RAM-LOST")
    await shots.end(clone)
    await release(qmp, record)
  })
})
