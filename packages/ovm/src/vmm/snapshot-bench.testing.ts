import { expect } from "bun:test"
import { closeSync, existsSync, ftruncateSync, openSync } from "node:fs"
import { join } from "node:path"
import { DISK_FAULT } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { type Bench, MiB } from "./bench.testing.ts"
import type { Loaded } from "./loader.ts"
import type { Machine } from "./machine.ts"
import type { DiskFile, DiskLayer, LaunchPlan, ResumePlan, SnapshotOrigin } from "./plan.ts"
import type { InstantSink, SnapshotParts, SnapshotSink } from "./snapshot.ts"

export const DISK = 8 * MiB

/**
 * What the guest does: it counts in RAM and notes on the disk, and says when the two do not agree. Idle between two
 * ticks, as several of them run at once.
 */
export const COUNTING = "tick_ms=10 hlt=1 log=8"
/** Small, since it is hashed. */
export const MEMORY = 16 * MiB
const resources = { vcpus: 1, memory: MEMORY }
/** Of one test, in ms: other tests may use the same processors. */
export const LONG = 240_000

/** Machines, snapshots and clones for the suite of snapshots. */
export class SnapshotBench {
  constructor(readonly bench: Bench) {}

  /** A counting machine with a writable disk. */
  async counting(more: Partial<LaunchPlan> = {}): Promise<{ machine: Machine; layers: DiskFile[] }> {
    const { plan, layers } = await this.countingPlan(more)
    const machine = await this.bench.vmm.launch(plan)
    await this.bench.until(machine, "TICK 3")
    return { machine, layers }
  }

  async countingPlan(
    more: Partial<LaunchPlan> = {},
    words = COUNTING,
  ): Promise<{ plan: LaunchPlan; layers: DiskFile[] }> {
    const base = this.bench.path("base.raw")
    const file = openSync(base, "wx")
    ftruncateSync(file, DISK)
    closeSync(file)
    const layers: DiskFile[] = [{ path: base, format: "raw" }]
    const disk = { layers, size: DISK, writable: true }
    return { plan: this.bench.planOf(words, { resources, disk, ...more }), layers }
  }

  sink(): Required<SnapshotSink> {
    const { bench } = this
    return { ram: bench.path("ram"), state: bench.path("state"), overlay: bench.path("new.qcow2") }
  }

  /** Where whoever adopts the machine may take it back: in its own directory. */
  sinkIn(directory: string): Required<SnapshotSink> {
    const path = (name: string) => join(directory, name)
    return { ram: path("ram"), state: path("state"), overlay: path("new.qcow2") }
  }

  async take(machine: Machine, into: InstantSink = this.sink()): Promise<SnapshotParts> {
    if (!machine.snapshot) throw new Error("its machines cannot be snapshotted")
    return await machine.snapshot(into)
  }

  /** A plan to go on from `origin` with a disk of its own on top of `layers`. */
  resumePlan(
    origin: SnapshotOrigin,
    layers: readonly DiskLayer[] | undefined,
    more: Partial<ResumePlan> = {},
  ): ResumePlan {
    const { kernel, ...plan } = this.bench.planOf("")
    const { vcpus, memory } = origin.model
    const disk = layers && { disk: { layers, size: origin.diskSize ?? DISK, writable: true } }
    return { ...plan, resources: { vcpus, memory }, ...disk, origin, ...more }
  }

  async load(plan: ResumePlan, signal?: AbortSignal): Promise<Loaded> {
    const { loader } = this.bench.vmm
    if (!loader) throw new Error("it cannot load snapshots")
    return await loader.load(plan, signal && { signal })
  }

  async clone(origin: SnapshotOrigin, layers?: readonly DiskLayer[]): Promise<Machine> {
    return await (await this.load(this.resumePlan(origin, layers))).resume()
  }

  /**
   * The ticks on the console so far, all of them without a gap and none with a complaint; waits for `more` further
   * ones.
   */
  async ticks(machine: Machine, more = 0): Promise<number[]> {
    const read = async (words?: string) => {
      const text = words === undefined ? await this.now(machine) : await this.bench.until(machine, words)
      expect(text).not.toMatch(DISK_FAULT)
      return [...text.matchAll(/TICK (\d+)\r\n/g)].map(([, tick]) => Number(tick))
    }
    let ticks = await until("a tick", () => read(), { is: ({ length }) => length > 0 })
    const last = ticks.at(-1) ?? 0
    if (more > 0) ticks = await read(`TICK ${last + more}\r\n`)
    expect(ticks).toEqual(ticks.map((_, index) => (ticks[0] ?? 0) + index))
    return ticks
  }

  async now(machine: Machine): Promise<string> {
    const { readConsole } = await import("./console.ts")
    let text = ""
    for await (const bytes of readConsole(machine.record.directory)) text += Buffer.from(bytes).toString()
    return text
  }

  /** The generation IDs that the guest has seen, as UUIDs. */
  async generations(machine: Machine): Promise<string[]> {
    return [...(await this.now(machine)).matchAll(/VMGENID addr=\w+ id=(\w{16})(\w{16})/g)].map(
      ([, high = "", low = ""]) => {
        const bytes = Buffer.from(high, "hex").reverse().toString("hex")
        return `${low.slice(8)}-${low.slice(4, 8)}-${low.slice(0, 4)}-${bytes.slice(0, 4)}-${bytes.slice(4)}`
      },
    )
  }

  /** After a snapshot that failed: nothing is left of it, the machine counts on, and another one succeeds. */
  async unharmed(machine: Machine, sink: SnapshotSink, overlay: string | undefined): Promise<void> {
    for (const path of [sink.ram, sink.state, sink.overlay])
      if (path !== undefined) expect([path, existsSync(path)]).toEqual([path, false])
    expect(await machine.overlay?.()).toBe(overlay)
    await this.ticks(machine, 5)
    await this.take(machine)
    await this.ticks(machine, 5)
  }

  async end(...machines: readonly Machine[]): Promise<void> {
    await Promise.all(machines.map((machine) => machine.stop({ graceMs: 0 })))
  }
}
