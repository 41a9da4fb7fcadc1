import { expect, test } from "bun:test"
import { type Bench, MiB } from "./bench.testing.ts"
import { LONG, SnapshotBench } from "./snapshot-bench.testing.ts"

const SNAPSHOTS = 3
/**
 * MiB: so much that copying it takes longer than the 100 ms after which QEMU knows for the first time how fast it is,
 * and may look for what was written meanwhile.
 */
const BUSY = 236
const resources = { vcpus: 1, memory: 256 * MiB }

/** A guest that writes to its memory all the time, and knows whether all of it is of one instant. */
export function snapshotBusySuite(bench: Bench): void {
  const shots = new SnapshotBench(bench)

  test(
    "the memory of a snapshot is of one instant, however busy its guest is (OVMS-SNP-038)",
    async () => {
      const machine = await bench.vmm.launch(bench.planOf(`busy=${BUSY} tick_ms=20`, { resources }))
      await bench.until(machine, "TICK 3")
      for (let count = 0; count < SNAPSHOTS; count++) {
        const { origin } = await shots.take(machine)
        const clone = await shots.clone(origin)
        await shots.ticks(clone, 3)
        expect(await shots.now(clone)).not.toContain("RAM-LOST")
        await shots.end(clone)
      }
      expect(await shots.now(machine)).not.toContain("RAM-LOST")
      await shots.end(machine)
    },
    LONG,
  )
}
