import { expect, test } from "bun:test"
import { setTimeout as sleep } from "node:timers/promises"
import { DISK_READ, writeBootDisk } from "@ovms/testkit/bios.ts"
import { OvmError } from "../errors.ts"
import { type Bench, linux, MiB } from "./bench.testing.ts"
import type { DiskLayer, LaunchPlan } from "./plan.ts"
import type { SnapshotParts } from "./snapshot.ts"
import { SnapshotBench } from "./snapshot-bench.testing.ts"

/** How long a clone may take to say something, in ms: one that never does is dead. */
const DEAD_MS = 150_000
/** Of one life, in ms: others may use the same processors. */
const LIFE_MS = 600_000

/** A machine from its first instruction on, one that never ends. */
interface Life {
  readonly what: string
  /** Why it cannot be lived here; empty if it can. */
  readonly note?: string
  plan(): Promise<LaunchPlan>
  /** For how long the guest runs from one snapshot to the next, in ms. */
  readonly steps: readonly number[]
  /** What it says for ever, once it is through. */
  readonly words: string
}

interface Moment {
  /** How long the guest had run, in ms. */
  readonly at: number
  readonly parts: SnapshotParts
  readonly layers: readonly DiskLayer[] | undefined
}

const GUEST = "tick_ms=10 hlt=1"
const times = (count: number, ms: number) => Array<number>(count).fill(ms)

/**
 * Wherever a guest is, a snapshot of it can be gone on from: firmware, option ROM, kernel, initrd, userspace, BIOS
 * calls.
 */
export function momentsSuite(bench: Bench): void {
  const shots = new SnapshotBench(bench)
  const seen = { moments: 0, booting: 0 }

  const lives: readonly Life[] = [
    {
      what: "an ELF kernel with an initrd, two vCPUs and a generation ID",
      plan: async () => {
        const initrd = { path: bench.path("initrd") }
        await Bun.write(initrd.path, Buffer.alloc(MiB, "initrd "))
        return bench.planOf(GUEST, { initrd, resources: { vcpus: 2, memory: 16 * MiB } })
      },
      steps: times(24, 4),
      words: "TICK",
    },
    {
      what: "a disk that is booted, and read, by BIOS",
      plan: async () => {
        const path = bench.path("boot.raw")
        await writeBootDisk(path)
        const { kernel: _, ...plan } = bench.planOf("")
        const layers = [{ path, format: "raw" as const }]
        const disk = { layers, size: 2 * MiB, writable: true }
        return { ...plan, disk, resources: { vcpus: 1, memory: 16 * MiB } }
      },
      steps: times(21, 8),
      words: DISK_READ,
    },
    {
      what: "Debian's Linux",
      note: linux.note,
      plan: async () => {
        const { kernel, initrd, layers, memory, diskSize } = linux
        const args = `${kernel.args} ovm.count`
        const disk = { layers, size: diskSize, writable: true }
        const resources = { vcpus: 1, memory }
        return bench.planOf("", { kernel: { ...kernel, args }, initrd, disk, resources })
      },
      steps: [12, 24, 212, 1200, 200],
      words: "OVM-COUNT",
    },
  ]

  /** It is paused, snapshotted and let run again, step by step. A moment that is refused by name is none. */
  async function live(plan: LaunchPlan, steps: readonly number[]): Promise<Moment[]> {
    const machine = await bench.vmm.launch(plan)
    const moments: Moment[] = []
    let layers = plan.disk?.layers
    let at = 0
    for (const step of steps) {
      await machine.pause()
      const parts = await shots.take(machine).catch((thrown) => {
        expect(thrown).toBeInstanceOf(OvmError)
        expect(thrown).toMatchObject({ code: "OVM_STATE_CONFLICT" })
        console.log(`  at ${at} ms: ${thrown.message}`)
      })
      if (parts) {
        if (layers && parts.disk) layers = [...layers, { path: parts.disk.frozen, format: "qcow2" }]
        moments.push({ at, parts, layers })
      }
      await machine.resume()
      await sleep(step)
      at += step
    }
    await shots.end(machine)
    return moments
  }

  /** What a clone says until it is where the words are, or for as long as one may take that is not dead. */
  async function goOn(plan: LaunchPlan, { parts, layers }: Moment, words: string): Promise<string> {
    const { kernel, initrd } = plan
    const booting = parts.boot &&
      kernel && { kernel: { ...kernel, ...parts.boot }, ...(initrd && { initrd }) }
    const loaded = await shots.load(shots.resumePlan(parts.origin, layers, booting))
    const clone = await loaded.resume()
    const late = setTimeout(() => clone.stop({ graceMs: 0 }).catch(() => {}), DEAD_MS)
    const said = await bench.until(clone, words)
    clearTimeout(late)
    // A kernel that is found again is the same one, with the same arguments; and no two machines have the same
    // generation ID.
    if (said.includes("GUEST-READY")) expect(said).toContain(`CMDLINE [${GUEST}]\r\nINITRD addr=`)
    if (words === "TICK") {
      await shots.ticks(clone, 1)
      expect(await shots.generations(clone)).toEqual([loaded.record.generationId ?? ""])
    }
    await shots.end(clone)
    return said
  }

  for (const { what, note = "", plan, steps, words } of lives)
    test.skipIf(note !== "")(
      `every moment can be gone on from: ${what} (OVMS-SNP-131, OVMS-SNP-136) ${note}`,
      async () => {
        const launch = await plan()
        const moments = await live(launch, steps)
        const left = [...moments]
        const dead: string[] = []
        const one = async () => {
          for (let moment = left.shift(); moment; moment = left.shift()) {
            const said = await goOn(launch, moment, words)
            if (!said.includes(words)) dead.push(`${moment.at} ms: ${JSON.stringify(said.slice(-100))}`)
          }
        }
        await Promise.all([one(), one()])
        const booting = moments.filter(({ parts }) => parts.boot).length
        seen.moments += steps.length
        seen.booting += booting
        console.log(
          `${what}: ${steps.length} moments, ${moments.length - dead.length} went on ` +
            `(${booting} were booting still), ${steps.length - moments.length} refused, ${dead.length} dead`,
        )
        expect(dead).toEqual([])
        expect(moments.at(-1)?.parts.boot).toBeUndefined()
      },
      LIFE_MS,
    )

  test("there were fifty moments, and some before the kernel was read", () => {
    const whole = linux.note === ""
    if (whole) expect(seen.moments).toBeGreaterThanOrEqual(50)
    expect(seen.booting).toBeGreaterThan(0)
    expect(seen.booting).toBeLessThan(seen.moments)
  })
}
