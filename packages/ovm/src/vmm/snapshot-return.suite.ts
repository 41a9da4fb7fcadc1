import { expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { lockLikeQemu } from "@ovms/testkit/ofd-lock.ts"
import { until } from "@ovms/testkit/until.ts"
import type { Bench } from "./bench.testing.ts"
import type { Machine } from "./machine.ts"
import type { SnapshotSink } from "./snapshot.ts"
import { LONG, SnapshotBench } from "./snapshot-bench.testing.ts"

/** A guest that cannot go on at once after a snapshot is said to stand still, and goes on as soon as it can. */
export function snapshotReturnSuite(bench: Bench): void {
  const shots = new SnapshotBench(bench)

  /** Does `work` at the instant when the guest has stopped for its snapshot. */
  const atItsInstant = (machine: Machine, work: () => void) => {
    let done = false
    machine.onGuest(() => {
      if (done || machine.guest.running) return
      done = true
      work()
    })
  }
  /** In its own directory, as a machine's files are: what is taken back later is looked for there alone. */
  const sinkOf = ({ record }: Machine): Required<SnapshotSink> => ({
    ram: join(record.directory, "some.ram"),
    state: join(record.directory, "some.state"),
    overlay: join(record.directory, "overlay-1.qcow2"),
  })
  const goesOn = (machine: Machine) => until("the guest goes on", () => machine.guest.running)

  const locks = bench.skips("disks let go")
  const whereLetGo = test.skipIf(locks.skip)

  // OVMS-SNP-142, OVMS-SNP-143
  whereLetGo(
    `another process has the new overlay open: said, and gone on from once it has not${locks.note}`,
    async () => {
      for (const how of ["waits", "adopted", "asked"] as const) {
        const { machine } = await shots.counting()
        const before = await machine.overlay?.()
        const sink = sinkOf(machine)
        let release = () => {}
        atItsInstant(machine, () => {
          release = lockLikeQemu(sink.overlay)
        })
        const error = await refusal(shots.take(machine, sink))
        expect([error.code, error.message]).toEqual(["OVM_STATE_CONFLICT", expect.stringContaining("lock")])
        expect(machine.guest).toEqual({ running: false, reason: "snapshot" })
        for (const [path, there] of [
          [sink.ram, false],
          [sink.state, false],
          [sink.overlay, true],
        ] as const)
          expect([path, existsSync(path)]).toEqual([path, there])
        for (const work of [() => machine.pause(), () => machine.resume(), () => shots.take(machine)])
          expect((await refusal(work())).code).toBe("OVM_STATE_CONFLICT")
        if (how === "adopted") machine.detach()
        const now = how === "adopted" ? await bench.vmm.adopt(machine.record) : machine
        expect(now.guest).toEqual({ running: false, reason: "snapshot" })
        release()
        if (how === "asked") {
          // On a host that is busy.
          process.kill(now.record.pid, "SIGSTOP")
          setTimeout(() => process.kill(now.record.pid, "SIGCONT"), 1000)
          await now.resume()
          expect(now.guest).toEqual({ running: true })
        } else await goesOn(now)
        await until("its files are gone", () => !existsSync(sink.overlay))
        await until("it can be asked again", () =>
          now.overlay?.().then(
            () => true,
            () => false,
          ),
        )
        await shots.unharmed(now, sink, before)
        await shots.end(now)
      }
    },
    LONG,
  )

  whereLetGo(
    `another process only had a look at the new overlay: the snapshot is taken${locks.note}`,
    async () => {
      const { machine } = await shots.counting()
      const sink = sinkOf(machine)
      atItsInstant(machine, () => setTimeout(lockLikeQemu(sink.overlay), 100))
      expect((await shots.take(machine, sink)).timings.paused).toBeGreaterThan(50)
      expect(machine.guest).toEqual({ running: true })
      await shots.ticks(machine, 5)
      await shots.end(machine)
    },
    LONG,
  )

  whereLetGo(
    `a machine that cannot go on can be ended${locks.note}`,
    async () => {
      const { machine } = await shots.counting()
      const sink = sinkOf(machine)
      let release = () => {}
      atItsInstant(machine, () => {
        release = lockLikeQemu(sink.overlay)
      })
      await refusal(shots.take(machine, sink))
      expect(await machine.stop({ graceMs: 50 })).toBe("ended")
      for (const path of [sink.ram, sink.state]) expect([path, existsSync(path)]).toEqual([path, false])
      release()
    },
    LONG,
  )

  // OVMS-SNP-144
  test(
    "a VMM that does not answer for a while in the middle of a snapshot can be snapshotted afterwards",
    async () => {
      const { machine } = await shots.counting()
      const before = await machine.overlay?.()
      const { pid } = machine.record
      const sink = sinkOf(machine)
      atItsInstant(machine, () => process.kill(pid, "SIGSTOP"))
      expect((await refusal(shots.take(machine, sink))).code).toBe("OVM_VMM_TIMEOUT")
      process.kill(pid, "SIGCONT")
      await goesOn(machine)
      await until("it can be asked again", () =>
        machine.overlay?.().then(
          () => true,
          () => false,
        ),
      )
      await shots.unharmed(machine, sink, before)
      await shots.end(machine)
    },
    LONG,
  )
}
