import { afterAll, beforeAll, describe, expect } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { Bench, type Lack, type VmmUnderTest } from "./bench.testing.ts"
import { inputSuite } from "./input.suite.ts"
import { lifecycleSuite } from "./lifecycle.suite.ts"
import { momentsSuite } from "./moments.suite.ts"
import { endStray } from "./process/stray.ts"
import { resultSuite } from "./result.suite.ts"
import { snapshotSuite } from "./snapshot.suite.ts"
import { snapshotBusySuite } from "./snapshot-busy.suite.ts"
import { snapshotFaultsSuite } from "./snapshot-faults.suite.ts"
import { snapshotReturnSuite } from "./snapshot-return.suite.ts"
import { standstillSuite } from "./standstill.suite.ts"

/** Leaves a part of the suite out where the VMM lacks what it is about. */
function without(bench: Bench, power: Lack, suite: (bench: Bench) => void): void {
  const { skip, note } = bench.skips(power)
  describe.skipIf(skip)(`${power}${note}`, () => suite(bench))
}

/** What every VMM adapter must do (vmm/vmm.ts), shown with the bare-metal guest and one Linux. */
export function vmmSuite(name: string, under: VmmUnderTest): void {
  const note = under.missing || guestMissing
  describe.skipIf(note !== "")(`${name} as a Vmm ${note}`, () => {
    const bench = new Bench(mkdtempSync(join(tmpdir(), `ovm-${name}-`)), under)
    beforeAll(async () => await bench.open(await buildGuest()))
    afterAll(async () => {
      const left = bench.folders.flatMap(processesIn)
      // A test that failed half way must not leave a machine running.
      await Promise.all(bench.folders.map(endStray))
      expect(left).toEqual([])
      rmSync(bench.root, { recursive: true })
    })
    lifecycleSuite(bench)
    if (under.lifeOnly) return
    without(bench, "result", resultSuite)
    without(bench, "standstill", standstillSuite)
    inputSuite(bench)
    if (!under.snapshots) return
    snapshotSuite(bench)
    snapshotBusySuite(bench)
    snapshotFaultsSuite(bench)
    snapshotReturnSuite(bench)
    without(bench, "kernel read by the guest", momentsSuite)
  })
}
