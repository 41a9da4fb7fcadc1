// How long a snapshot stops a machine, beside the same steps by hand over the same monitor. `make bench-snapshot`. The
// adapter alone: no daemon, no artifact.
import { mkdir, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { createOverlay } from "../packages/ovm/src/disk/overlay.ts"
import { readConsole } from "../packages/ovm/src/vmm/console.ts"
import type { Machine, MachineRecord } from "../packages/ovm/src/vmm/machine.ts"
import { kill } from "../packages/ovm/src/vmm/process/identity.ts"
import { qemu } from "../packages/ovm/src/vmm/qemu/index.ts"
import { copyingOf } from "../packages/ovm/src/vmm/qemu/snapshot/copying.ts"
import type { SnapshotParts } from "../packages/ovm/src/vmm/snapshot.ts"
import { monitor, snapshotByHand, topOf } from "./by-hand.ts"
import { MACHINE, untilSaid } from "./programs.ts"
import { compare, median, spread } from "./turns.ts"

const ROUNDS = 50
const ROUNDS_EACH = 8
const DISK = 64 << 20
const MIB = 1 << 20

const root = await mkdtemp(join(tmpdir(), "ovm-bench-snapshot-"))
const vmm = qemu(join(root, "cache"))
let count = 0
const path = (name: string) => join(root, `${count++}-${name}`)
const base = ["base.qcow2", "diff1.qcow2"].map((file) => ({
  path: join(MACHINE, file),
  format: "qcow2" as const,
}))

/** Of a machine: its memory in bytes, what its guest does, and whether it has a network. */
interface Kind {
  readonly memory: number
  readonly word: string
  readonly networked: boolean
}

async function place({ memory, networked }: Kind) {
  const directory = path("machine")
  await mkdir(directory, { mode: 0o700 })
  const resources = { vcpus: 1, memory }
  const mac = "52:54:00:12:34:56"
  const network = { mode: "user", mac, forwards: [], outbound: true } as const
  const devices = { devices: [], ...(networked && { network }) }
  return { id: "bench", directory, ...devices, consoleLimit: 1 << 16, resources }
}

async function overlay(): Promise<string> {
  const made = path("overlay.qcow2")
  await createOverlay(made, DISK)
  return made
}

const written = { size: DISK, writable: true }

async function boot(kind: Kind): Promise<Machine> {
  const machine = await vmm.launch({
    ...(await place(kind)),
    kernel: {
      path: join(MACHINE, "vmlinuz"),
      args: `console=ttyS0 root=/dev/vda rw quiet panic=-1 no_timer_check ${kind.word}`,
    },
    initrd: { path: join(MACHINE, "initrd.img") },
    disk: { ...written, layers: base },
  })
  const console = readConsole(machine.record.directory, { follow: true, ended: machine.exited })
  await untilSaid(console, "OVM-DISK")
  await sleep(2000)
  return machine
}

async function take(machine: Machine): Promise<SnapshotParts> {
  const sink = { ram: path("ram"), state: path("state"), overlay: path("new.qcow2") }
  const parts = await machine.snapshot?.(sink)
  if (!parts) throw new Error("the machine cannot be snapshotted")
  return parts
}

async function forget({ origin }: SnapshotParts): Promise<void> {
  await Promise.all([origin.ram.path, origin.state].map((file) => rm(file)))
}

async function cloneOf({ origin, disk }: SnapshotParts, kind: Kind): Promise<Machine> {
  const layers = [...base, { path: disk?.frozen ?? "", format: "qcow2" as const }]
  const plan = { ...(await place(kind)), origin, disk: { ...written, layers } }
  const machine = await (await vmm.loader.load(plan)).resume()
  return machine
}

/** For a machine that was held to make up for the time that it missed, in milliseconds. */
const SETTLE_MS = 100

/** Does `work` while another machine has no part of the processors. */
async function without<T>({ pid }: MachineRecord, work: () => Promise<T>): Promise<T> {
  process.kill(pid, "SIGSTOP")
  try {
    await sleep(SETTLE_MS)
    return await work()
  } finally {
    process.kill(pid, "SIGCONT")
  }
}

/**
 * Pairs of machines of a kind, snapshotted in turns, one of them by hand. Each snapshot leaves one more overlay, and
 * QEMU takes longer to let go of and take back a chain of fifty: so there is a new pair every few rounds.
 */
async function turns(what: string, make: () => Promise<Machine>): Promise<number> {
  const [mine, theirs, all]: [number[], number[], number[]] = [[], [], []]
  while (mine.length < ROUNDS) {
    const [ours, other] = await Promise.all([make(), make()])
    other.detach()
    const copying = copyingOf(other.record)
    const qmp = await monitor(other.record.directory)
    let top = await topOf(qmp)
    try {
      for (let round = 0; round <= ROUNDS_EACH; round++) {
        const one = await without(other.record, () => take(ours))
        await forget(one)
        const file = await overlay()
        const { directory } = other.record
        const two = await without(ours.record, () =>
          snapshotByHand(qmp, directory, file, { ...copying, top }),
        )
        top = two.top
        // The first one copies all memory.
        if (round === 0) continue
        mine.push(one.timings.paused)
        theirs.push(two.paused)
        all.push(one.timings.total)
      }
    } finally {
      qmp.close()
      await kill(other.record)
      await ours.stop({ graceMs: 0 })
    }
  }
  compare(`pause of ${what}`, mine, { name: "by hand", took: theirs }, 1.5)
  console.log(`  goal p50 20 ms: ${median(mine) <= 20 ? "holds" : "MISSED"}`)
  spread("  until all is written", all)
  return median(mine)
}

/** Gives the medians of a first snapshot and of a clone's. */
async function both(what: string, kind: Kind): Promise<readonly [number, number]> {
  const first = await boot(kind)
  const kept = await take(first)
  await first.stop({ graceMs: 0 })
  const own = await turns(`a first snapshot, ${what}`, () => boot(kind))
  const clones = await turns(`a clone's, ${what}`, () => cloneOf(kept, kind))
  await forget(kept)
  return [own, clones]
}

try {
  const medians: (readonly [number, number])[] = []
  for (const memory of [256 * MIB, 1024 * MIB])
    for (const word of ["", "ovm.dirty"]) {
      const what = `${memory / MIB} MiB, ${word === "" ? "idle" : "writing 4 MiB over and over"}`
      medians.push(await both(what, { memory, word, networked: false }))
    }
  const networked = await both("256 MiB, idle, with a network", {
    memory: 256 * MIB,
    word: "",
    networked: true,
  })
  const ratios = networked.map((took, index) => (took / (medians[0]?.[index] ?? Number.NaN)).toFixed(2))
  console.log(
    `with a network to without: ${ratios.join(", of a clone ")} (bound 1, within what runs differ by)`,
  )
} finally {
  await rm(root, { recursive: true, force: true })
}
