import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { Bench, MiB } from "../bench.testing.ts"
import type { Machine } from "../machine.ts"
import { endStray } from "../process/stray.ts"
import { SnapshotBench } from "../snapshot-bench.testing.ts"
import { findQemu } from "./find.ts"

// Real machines, on a host that may be busy.
setDefaultTimeout(240_000)

const missing =
  guestMissing ||
  (Bun.which("strace") ? "" : "(skipped: strace is not installed)") ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))

// Whether what a guest flushes reaches the files of the host is seen in the system calls of its VMM.
describe.skipIf(missing !== "")(`flushes of a guest ${missing}`, () => {
  const under = { module: join(import.meta.dir, "index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-flush-")), under)
  const shots = new SnapshotBench(bench)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  async function flushing(ephemeral: boolean): Promise<Machine> {
    const base = bench.path("base.raw")
    const file = openSync(base, "wx")
    ftruncateSync(file, MiB)
    closeSync(file)
    const layers = [{ path: base, format: "raw" as const }]
    const disk = { layers, size: MiB, writable: true, ephemeral }
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=20 log=8 flush=1", { disk }))
    await bench.until(machine, "FLUSHED 2\r\n")
    return machine
  }

  /** The files that `machine` syncs while its guest flushes some ten times, by path. */
  async function syncedBy(machine: Machine): Promise<readonly string[]> {
    const said = async () => (await shots.now(machine)).match(/^FLUSHED/gm)?.length ?? 0
    const before = await said()
    const calls = bench.path("calls")
    const options = ["-f", "-q", "-y", "-e", "trace=fsync,fdatasync", "-o", calls]
    const tracer = Bun.spawn(["strace", ...options, "-p", String(machine.record.pid)], {
      stdio: ["ignore", "ignore", "pipe"],
    })
    await until("ten more flushes", said, { is: (count) => count >= before + 10 })
    tracer.kill("SIGINT")
    await tracer.exited
    return Array.from(readFileSync(calls, "utf8").matchAll(/sync\(\d+<([^>]*)>/g), ([, path = ""]) => path)
  }

  // OVMS-STA-036
  test("reach the file that it writes to, also after a snapshot", async () => {
    const machine = await flushing(false)
    const first = await machine.overlay?.()
    expect(new Set(await syncedBy(machine))).toEqual(new Set([first ?? ""]))
    const { disk, origin } = await shots.take(machine)
    const synced = await syncedBy(machine)
    expect(new Set(synced)).toEqual(new Set([disk?.overlay ?? ""]))
    expect(synced.length).toBeGreaterThan(5)
    await shots.end(machine)
    expect(origin.diskSize).toBe(MiB)
  })

  // OVMS-API-039
  test("stay in the cache of the host where the machine is ephemeral, also after a snapshot", async () => {
    const machine = await flushing(true)
    expect(await syncedBy(machine)).toEqual([])
    await shots.take(machine)
    expect(await syncedBy(machine)).toEqual([])
    await shots.end(machine)
  })
})
