import { expect, test } from "bun:test"
import { chmodSync, copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { refusal } from "@ovms/testkit/disks.ts"
import { processesIn } from "@ovms/testkit/processes.ts"
import { mountMissing, withTmpfs } from "@ovms/testkit/tmpfs.ts"
import { createOverlay } from "../disk/overlay.ts"
import { type Bench, hash, MiB } from "./bench.testing.ts"
import type { MachineRecord } from "./machine.ts"
import type { DiskFile, ResumePlan, SnapshotOrigin } from "./plan.ts"
import { DISK, LONG, MEMORY, SnapshotBench } from "./snapshot-bench.testing.ts"

const resources = { vcpus: 1, memory: MEMORY }
const qcow2 = (path = "") => ({ path, format: "qcow2" as const })

/** Every way in which a snapshot or a resume may fail leaves the source counting, and nothing behind. */
export function snapshotFaultsSuite(bench: Bench): void {
  const shots = new SnapshotBench(bench)
  const { cut, doubled, begun } = bench.under.damaged ?? { cut: "", doubled: "", begun: "" }

  test(
    "files that cannot be written: the machine goes on as before",
    async () => {
      const { machine } = await shots.counting()
      const before = await machine.overlay?.()
      for (const culprit of ["ram", "state", "overlay"] as const) {
        const sink = { ...shots.sink(), [culprit]: join(bench.root, "no-such-folder", culprit) }
        const error = await refusal(shots.take(machine, sink))
        expect(error).toMatchObject({
          code: "OVM_FILE_UNREADABLE",
          message: expect.stringContaining(culprit),
        })
        expect(await machine.overlay?.()).toBe(before)
        for (const path of Object.values(sink)) expect([path, existsSync(path)]).toEqual([path, false])
        await shots.ticks(machine, 5)
      }
      const sink = shots.sink()
      writeFileSync(sink.state, "someone else's")
      const error = await refusal(shots.take(machine, sink))
      expect(error).toMatchObject({
        code: "OVM_STATE_CONFLICT",
        message: expect.stringContaining(sink.state),
      })
      expect(readFileSync(sink.state, "utf8")).toBe("someone else's")
      await shots.unharmed(machine, shots.sink(), before)
      await shots.end(machine)
    },
    LONG,
  )

  test.skipIf(mountMissing !== "")(
    `a full disk ${mountMissing}`,
    async () => {
      const tiny = bench.path("tiny")
      await withTmpfs(tiny, 64 << 10, async () => {
        const { machine } = await shots.counting()
        const before = await machine.overlay?.()
        writeFileSync(join(tiny, "filler"), Buffer.alloc(60 << 10))
        for (const culprit of ["ram", "state", "overlay"] as const) {
          const sink = { ...shots.sink(), [culprit]: join(tiny, culprit) }
          expect((await refusal(shots.take(machine, sink))).code).toBe("OVM_NO_SPACE")
          for (const path of Object.values(sink)) expect([path, existsSync(path)]).toEqual([path, false])
          expect(await machine.overlay?.()).toBe(before)
          await shots.ticks(machine, 5)
        }
        await shots.unharmed(machine, shots.sink(), before)
        await shots.end(machine)
      })
    },
    LONG,
  )

  test(
    "an abort, whenever it comes",
    async () => {
      const { machine } = await shots.counting()
      let before = await machine.overlay?.()
      for (const ms of [0, 5, 10, 20, 40, 80, 160]) {
        const sink = shots.sink()
        const result = await machine
          .snapshot?.(sink, { signal: AbortSignal.timeout(ms) })
          .catch((thrown: unknown) => thrown)
        // A fast one may be through before.
        if (result instanceof Error) {
          expect(result).toMatchObject({ code: "OVM_INTERRUPTED" })
          for (const path of Object.values(sink)) expect([path, existsSync(path)]).toEqual([path, false])
          expect(await machine.overlay?.()).toBe(before)
        } else before = sink.overlay
        await shots.ticks(machine, 5)
      }
      await shots.unharmed(machine, shots.sink(), before)
      await shots.end(machine)
    },
    LONG,
  )

  test(
    "one at a time; a stop gives it up",
    async () => {
      const { machine } = await shots.counting()
      const taking = shots.take(machine)
      for (const work of [shots.take(machine), machine.pause(), machine.resume()])
        expect((await refusal(work)).code).toBe("OVM_STATE_CONFLICT")
      await taking
      const sink = shots.sink()
      const second = shots.take(machine, sink).catch((thrown: unknown) => thrown)
      expect(await machine.stop({ graceMs: 0 })).toBe("ended")
      const result = await second
      if (result instanceof Error) {
        expect(result).toMatchObject({ code: "OVM_INTERRUPTED" })
        expect(existsSync(sink.ram)).toBe(false)
      }
      expect((await refusal(shots.take(machine))).code).toBe("OVM_STATE_CONFLICT")
    },
    LONG,
  )

  test(
    "the VMM is killed in the middle",
    async () => {
      for (const ms of [5, 30, 60]) {
        const { machine } = await shots.counting()
        const sink = shots.sink()
        const taking = shots.take(machine, sink).catch((thrown: unknown) => thrown)
        await sleep(ms)
        process.kill(machine.record.pid, "SIGKILL")
        const result = await taking
        if (result instanceof Error) {
          expect(result).toMatchObject({ code: "OVM_VMM_FAILED" })
          for (const path of [sink.ram, sink.state]) expect([path, existsSync(path)]).toEqual([path, false])
        }
        expect(await machine.exited).toMatchObject({ status: 137 })
      }
    },
    LONG,
  )

  test(
    "the process that takes it is killed in the middle, and the machine adopted",
    async () => {
      for (const ms of [1, 10, 20, 30, 45, 60, 90]) {
        const { plan } = await shots.countingPlan()
        const sink = shots.sinkIn(plan.directory)
        const [planText, sinkText] = [plan, sink].map((value) => JSON.stringify(value))
        const record = await bench.elsewhere(`
        const machine = await vmm.launch(${planText})
        await new Promise((resolve) => setTimeout(resolve, 200))
        machine.snapshot(${sinkText})
        await new Promise((resolve) => setTimeout(resolve, ${ms}))
        tell(machine.record)`)
        const machine = await bench.vmm.adopt(record as MachineRecord)
        const now = await machine.overlay?.()
        // Either nothing of it is left, or it was through.
        if (now === machine.record.overlay) await shots.unharmed(machine, sink, now)
        else {
          expect(now).toBe(sink.overlay)
          expect(existsSync(sink.ram)).toBe(true)
          await shots.ticks(machine, 5)
        }
        await shots.end(machine)
      }
    },
    LONG,
  )

  test(
    "what does not fit is refused before the VMM starts",
    async () => {
      const { machine, layers } = await shots.counting()
      const { origin, disk } = await shots.take(machine)
      await shots.end(machine)
      const chain = [...layers, qcow2(disk?.frozen)]
      const copy = (from: string, change: (path: string) => void) => {
        const path = bench.path("copy")
        copyFileSync(from, path)
        change(path)
        return path
      }
      const written = { size: DISK, writable: true }
      const ram = (change: (path: string) => void) => ({ path: copy(origin.ram.path, change) })
      const state = (change: (bytes: Buffer) => Uint8Array) =>
        copy(origin.state, (path) => writeFileSync(path, change(readFileSync(path))))
      const other = bench.path("other.qcow2")
      await createOverlay(other, 4 * MiB)
      const wrong: [string, string, Partial<SnapshotOrigin>, Partial<ResumePlan>?][] = [
        ["OVM_FILE_UNREADABLE", "no-ram", { ram: { path: join(bench.root, "no-ram") } }],
        ["OVM_SIZE_MISMATCH", "RAM has 0 bytes", { ram: ram((path) => truncateSync(path)) }],
        ["OVM_SIZE_MISMATCH", "RAM has", { ram: ram((path) => truncateSync(path, MEMORY + MiB)) }],
        ["OVM_FILE_UNREADABLE", "no-state", { state: join(bench.root, "no-state") }],
        ["OVM_SIZE_MISMATCH", "0 bytes", { state: state(() => Buffer.alloc(0)) }],
        ["OVM_VMM_FAILED", cut, { state: state((bytes) => bytes.subarray(0, -1)) }],
        ["OVM_VMM_FAILED", doubled, { state: state((bytes) => Buffer.concat([bytes, bytes])) }],
        ["OVM_VMM_FAILED", begun, { state: state((bytes) => bytes.fill(0xff, 0, 1)) }],
        ["OVM_UNSUPPORTED", "/disk", {}, { disk: undefined } as unknown as Partial<ResumePlan>],
        ["OVM_UNSUPPORTED", "/disk", {}, { disk: { ...written, layers: [] } }],
        ["OVM_UNSUPPORTED", "/accelerator", {}, { accelerator: "no such" }],
        ["OVM_DISK_INVALID", "plan", {}, { disk: { ...written, size: 4 * MiB, layers: chain } }],
        ["OVM_DISK_INVALID", other, {}, { disk: { ...written, layers: [...chain, qcow2(other)] } }],
      ]
      for (const [code, words, change, more] of wrong) {
        const plan = shots.resumePlan({ ...origin, ...change }, chain, more)
        const resources = { resources: { vcpus: 1, memory: MEMORY }, ...more }
        const error = await refusal(shots.load({ ...plan, ...resources }))
        expect([words, error.code, error.message]).toEqual([words, code, expect.stringContaining(words)])
        expect(processesIn(plan.directory)).toEqual([])
      }
      const clone = await shots.clone(origin, chain)
      await shots.ticks(clone, 5)
      await shots.end(clone)
    },
    LONG,
  )

  test(
    "what the VMM refuses is told in its words, and nothing is left",
    async () => {
      const { machine, layers } = await shots.counting()
      const { origin, disk } = await shots.take(machine)
      const none = await bench.vmm.launch(bench.planOf("tick_ms=10 hlt=1", { resources }))
      await bench.until(none, "TICK 3")
      const { overlay, ...sink } = shots.sink()
      const bare = await shots.take(none, sink)
      await shots.end(machine, none)
      const chain: DiskFile[] = [...layers, qcow2(disk?.frozen)]
      const before = hash(origin.ram.path)
      // The state of a machine with a disk, for one without.
      const plan = shots.resumePlan({ ...bare.origin, state: origin.state }, undefined)
      const error = await refusal(shots.load(plan))
      expect(error.code).toBe("OVM_VMM_FAILED")
      expect(error.message).toContain(bench.under.strangeDisk ?? "")
      expect(processesIn(plan.directory)).toEqual([])
      // And a RAM file that it may not write to, unless one is root.
      if (process.getuid?.() !== 0) {
        chmodSync(origin.ram.path, 0o400)
        const refused = await refusal(shots.load(shots.resumePlan(origin, chain)))
        expect(refused.code).toBe("OVM_PERMISSION_DENIED")
        chmodSync(origin.ram.path, 0o600)
      }
      for (const ms of [0, 5, 20, 50]) {
        const aborted = shots.resumePlan(origin, chain)
        const result = await shots.load(aborted, AbortSignal.timeout(ms)).catch((thrown: unknown) => thrown)
        if (result instanceof Error) expect(result).toMatchObject({ code: "OVM_INTERRUPTED" })
        else await (result as Awaited<ReturnType<typeof shots.load>>).discard()
        expect(processesIn(aborted.directory)).toEqual([])
      }
      expect(hash(origin.ram.path)).toBe(before)
    },
    LONG,
  )
}
