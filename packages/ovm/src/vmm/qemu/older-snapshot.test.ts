import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { Bench } from "../bench.testing.ts"
import { makeOverlay } from "../overlays.ts"
import type { DiskFile } from "../plan.ts"
import { endStray } from "../process/stray.ts"
import { SnapshotBench } from "../snapshot-bench.testing.ts"
import { qemuCapabilities } from "./capabilities.ts"
import { findQemu } from "./find.ts"
import { letGo } from "./go.ts"
import { QemuMachine } from "./machine.ts"
import { modelOf } from "./model.ts"
import { startQemu } from "./start.ts"

setDefaultTimeout(240_000)

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

describe.skipIf(missing !== "")(`a snapshot of an earlier version ${missing}`, () => {
  const under = { module: join(import.meta.dir, "index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-older-")), under)
  const shots = new SnapshotBench(bench)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  // OVMS-SNP-140
  test("is gone on from, without the devices that tell of a panic and of a result, and so is a snapshot of its clone", async () => {
    const { plan, layers } = await shots.countingPlan()
    const found = await qemuCapabilities(join(bench.root, "cache"))
    const model = modelOf(plan, found, [])
    expect(model.devices).not.toContain("pvpanic")
    expect(model.devices).not.toContain("isa-debug-exit")
    const overlay = await makeOverlay(plan)
    const options = {
      ...{ accelerator: found.accelerator, model, generationId: crypto.randomUUID() },
      ...(overlay !== undefined && { overlay }),
    }
    const machine = await startQemu({ found, plan, options }, {}, async ({ record, qmp, watch, timings }) => {
      await letGo(qmp, watch)
      return new QemuMachine(record, await timings(), qmp, watch)
    })
    await bench.until(machine, "TICK 3")
    const first = await shots.take(machine)
    await shots.end(machine)
    const chain: DiskFile[] = [...layers, { path: first.disk?.frozen ?? "", format: "qcow2" }]
    const clone = await shots.clone(first.origin, chain)
    await shots.ticks(clone, 5)
    expect(clone.record.model?.devices).toEqual(model.devices)
    const second = await shots.take(clone)
    expect(second.origin.model.devices).toEqual(model.devices)
    await shots.end(clone)
  })
})
