import { expect, test } from "bun:test"
import { readFileSync, statSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { qemuImg, refusal } from "@ovms/testkit/disks.ts"
import { KERNEL, KERNEL_ARGS } from "@ovms/testkit/machines.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { still } from "@ovms/testkit/until.ts"
import { type Bench, hash, linux, MiB } from "./bench.testing.ts"
import type { Machine } from "./machine.ts"
import type { DiskFile } from "./plan.ts"
import { LONG, MEMORY, SnapshotBench } from "./snapshot-bench.testing.ts"

const resources = { vcpus: 1, memory: MEMORY }
const qcow2 = (path = "") => ({ path, format: "qcow2" as const })

/**
 * What a VMM with the power to load, and its machines, must do: all goes well here; snapshot-faults.suite.ts has the
 * rest.
 */
export function snapshotSuite(bench: Bench): void {
  const shots = new SnapshotBench(bench)

  test(
    "a snapshot is of one instant, its source and its clone go on from there (OVMS-SNP-038)",
    async () => {
      const { machine, layers } = await shots.counting()
      const before = await machine.overlay?.()
      const sink = shots.sink()
      const parts = await shots.take(machine, sink)
      const { version, accelerator } = await bench.vmm.capabilities()
      const { ram, state } = sink
      const model = { vcpus: 1, memory: MEMORY }
      expect(parts).toMatchObject({
        origin: {
          vmm: bench.vmm.name,
          version,
          accelerator,
          diskSize: 8 * MiB,
          ram: { path: ram },
          state,
          model,
        },
        disk: { frozen: before, overlay: sink.overlay },
        stateSize: statSync(state).size,
        running: true,
      })
      expect(machine.record).toMatchObject({ model: parts.origin.model, generationId: parts.generationId })
      expect(statSync(ram).size).toBe(MEMORY)
      expect(statSync(ram).blocks * 512).toBeLessThan(parts.ramData + MiB)
      expect(await machine.overlay?.()).toBe(sink.overlay)
      const { total, paused } = parts.timings
      expect(paused).toBeGreaterThan(0)
      expect(total).toBeGreaterThan(paused)

      const frozen = parts.disk?.frozen ?? ""
      const digest = hash(frozen)
      expect(statSync(frozen).mode & 0o777).toBe(0o444)
      const told = await shots.ticks(machine, 20)
      const clone = await shots.clone(parts.origin, [...layers, qcow2(frozen)])
      const [first = 0] = await shots.ticks(clone, 20)
      expect(told).toContain(first)
      expect(first).toBeGreaterThan(1)
      expect(clone.timings.resume).toBeGreaterThan(0)
      await shots.ticks(machine, 5)
      expect(await clone.stop({ graceMs: 0 })).toBe("ended")
      expect(await clone.exited).toMatchObject({ status: bench.under.quit ?? 0, reason: "quit" })
      await shots.end(machine)
      expect(hash(frozen)).toBe(digest)
      if (qemuImg.present)
        expect(qemuImg.json("check", "-f", "qcow2", frozen)).not.toHaveProperty("corruptions")
    },
    LONG,
  )

  test(
    "clones share RAM and layers, and nothing else (OVMS-SNP-067, OVMS-SNP-090)",
    async () => {
      const { machine, layers } = await shots.counting()
      const parts = await shots.take(machine)
      await shots.end(machine)
      const { origin, disk } = parts
      const files = [origin.ram.path, origin.state, disk?.frozen ?? "", layers[0]?.path ?? ""]
      const before = files.map(hash)
      const clones = await Promise.all(
        [1, 2].map(() => shots.clone(origin, [...layers, qcow2(disk?.frozen)])),
      )
      const counts = await Promise.all(clones.map((clone) => shots.ticks(clone, 30)))
      expect(counts[0]?.[0]).toBe(counts[1]?.[0] ?? 0)
      // OVMS-GST-060
      const seen = await Promise.all(clones.map((clone) => shots.generations(clone)))
      const ids = clones.map((clone) => clone.record.generationId ?? "")
      expect(seen).toEqual(ids.map((id) => [id]))
      expect(new Set([...ids, machine.record.generationId]).size).toBe(3)
      const overlays = await Promise.all(clones.map((clone) => clone.overlay?.()))
      expect(new Set(overlays).size).toBe(2)
      await shots.end(...clones)
      expect(files.map(hash)).toEqual(before)
    },
    LONG,
  )

  test(
    "a snapshot of a clone is like any other, to depth 4",
    async () => {
      const { machine, layers } = await shots.counting()
      const chain: DiskFile[] = [...layers]
      let current: Machine = machine
      let last = 0
      for (let depth = 0; depth < 4; depth++) {
        const { origin, disk, generationId } = await shots.take(current)
        expect(generationId).toBe(current.record.generationId ?? "")
        chain.push(qcow2(disk?.frozen))
        await shots.end(current)
        current = await shots.clone(origin, chain)
        const [first = 0, ...more] = await shots.ticks(current, 10)
        expect(first).toBeGreaterThan(last)
        last = more.at(-1) ?? 0
      }
      await shots.end(current)
    },
    LONG,
  )

  test(
    "one machine can be snapshotted again and again, and goes on",
    async () => {
      const { machine, layers } = await shots.counting()
      const chain: DiskFile[] = [...layers]
      for (let round = 0; round < 3; round++) {
        const { origin, disk } = await shots.take(machine)
        chain.push(qcow2(disk?.frozen))
        const clone = await shots.clone(origin, chain)
        await shots.ticks(clone, 5)
        await shots.end(clone)
      }
      await shots.ticks(machine, 5)
      await shots.end(machine)
    },
    LONG,
  )

  test(
    "a paused machine stays paused, also through a second snapshot",
    async () => {
      const { machine, layers } = await shots.counting()
      await machine.pause()
      // What is in the pipe comes through.
      const now = () => shots.now(machine)
      const before = await still("its console", now)
      const one = await shots.take(machine)
      expect(one).toMatchObject({ running: false, timings: { paused: 0 } })
      expect(await still("its console", now)).toBe(before)
      const two = await shots.take(machine)
      const chain = [...layers, qcow2(one.disk?.frozen), qcow2(two.disk?.frozen)]
      const clone = await shots.clone(two.origin, chain)
      await shots.ticks(clone, 5)
      await machine.resume()
      await shots.ticks(machine, 5)
      await shots.end(machine, clone)
    },
    LONG,
  )

  test(
    "machines without a disk, and with one that they cannot write to",
    async () => {
      const path = bench.path("read-only.raw")
      await Bun.write(path, Buffer.alloc(MiB, "as it was "))
      const layers: DiskFile[] = [{ path, format: "raw" }]
      for (const disk of [undefined, { layers, size: MiB, writable: false }]) {
        const machine = await bench.vmm.launch(
          bench.planOf("tick_ms=10 hlt=1", { ...(disk && { disk }), resources }),
        )
        await bench.until(machine, "TICK 3")
        const { overlay, ...sink } = shots.sink()
        const parts = await shots.take(machine, sink)
        expect(parts.disk).toBeUndefined()
        expect(parts.origin.diskSize).toBe(disk && MiB)
        const plan = shots.resumePlan(parts.origin, undefined, disk && { disk })
        const clone = await (await shots.load(plan)).resume()
        await shots.ticks(clone, 5)
        await shots.ticks(machine, 5)
        await shots.end(machine, clone)
      }
    },
    LONG,
  )

  test(
    "a loaded machine waits, is started or ended, and is adopted in any case",
    async () => {
      const { machine, layers } = await shots.counting()
      const { origin, disk } = await shots.take(machine)
      await shots.end(machine)
      const chain = [...layers, qcow2(disk?.frozen)]
      const generationId = crypto.randomUUID()
      const plan = shots.resumePlan(origin, chain, { generationId })
      const loaded = await shots.load(plan)
      expect(loaded.record).toMatchObject({ generationId, model: origin.model })
      await sleep(30)
      const running = await loaded.resume()
      expect((await shots.ticks(running, 5)).length).toBeGreaterThan(0)
      expect(await shots.generations(running)).toEqual([generationId])
      running.detach()
      const adopted = await bench.vmm.adopt(running.record)
      await adopted.pause()
      await adopted.resume()
      await shots.ticks(adopted, 5)
      await shots.take(adopted)
      await shots.end(adopted)

      const other = await shots.load(shots.resumePlan(origin, chain))
      await other.discard()
      expect(await other.exited).toMatchObject({ reason: "quit" })
      expect(processesIn(other.record.directory)).toEqual([])

      const dead = await shots.load(shots.resumePlan(origin, chain))
      process.kill(dead.record.pid, "SIGKILL")
      expect(await dead.exited).toMatchObject({ status: 137 })
      expect((await refusal(dead.resume())).code).toBe("OVM_VMM_FAILED")
    },
    LONG,
  )

  const debian = bench.skips("linux")
  test.skipIf(linux.note !== "" || debian.skip)(
    `Debian's Linux goes on where it was ${linux.note}${debian.note}`,
    async () => {
      const { initrd, layers, memory } = linux
      const kernel = { path: KERNEL, args: `${KERNEL_ARGS} root=/dev/vda rw` }
      const resources = { vcpus: 1, memory }
      const disk = { layers, size: linux.diskSize, writable: true }
      const machine = await bench.vmm.launch(bench.planOf("", { kernel, initrd, disk, resources }))
      await bench.until(machine, "OVM-DISK")
      const { origin, disk: written } = await shots.take(machine)
      await shots.end(machine)
      const clone = await shots.clone(origin, [...layers, qcow2(written?.frozen)])
      // Its kernel and userspace are alive: they hear the button, unmount and power off.
      expect(await clone.stop({ graceMs: 60_000 })).toBe("guest")
      expect(await clone.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
      expect(readFileSync(origin.ram.path).length).toBe(memory)
    },
    LONG,
  )
}
