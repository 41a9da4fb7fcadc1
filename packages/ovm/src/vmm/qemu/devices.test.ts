import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import {
  closeSync,
  linkSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildGuest, guestMissing } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { Bench } from "../bench.testing.ts"
import type { Machine } from "../machine.ts"
import { connectIn } from "../process/socket.ts"
import { endStray } from "../process/stray.ts"
import { COUNTING, LONG, SnapshotBench } from "../snapshot-bench.testing.ts"
import { deviceArguments } from "./devices.ts"
import { findQemu } from "./find.ts"

const missing =
  guestMissing ||
  (await findQemu().then(
    () => "",
    () => "(skipped: QEMU is not installed)",
  ))
const devices = [{ type: "rng", name: "entropy", required: true }]

describe.skipIf(missing !== "")(`devices ${missing}`, () => {
  const under = { module: join(import.meta.dir, "index.ts"), factory: "qemu", missing, snapshots: true }
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-devices-")), under)
  const shots = new SnapshotBench(bench)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  /** QEMU reads the host's generator itself. */
  const source = ({ record: { pid } }: Machine) =>
    readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))

  test(
    "a machine with a source of entropy goes on from its snapshot, and one of a snapshot without has none [OVMS-DEV-001, OVMS-DEV-002, OVMS-SNP-140]",
    async () => {
      const { machine, layers } = await shots.counting({ devices })
      expect(machine.record.model?.devices).toContain("virtio-rng-pci")
      expect(source(machine)).toContain("/dev/urandom")
      const { origin, disk } = await shots.take(machine)
      const chain = [...layers, { path: disk?.frozen ?? "", format: "qcow2" as const }]
      const plan = shots.resumePlan(origin, chain, { devices })
      const model = await bench.vmm.loader?.model(plan, origin.model.devices)
      expect(model?.devices).toEqual([...origin.model.devices])
      const clone = await (await shots.load(plan)).resume()
      expect(source(clone)).toContain("/dev/urandom")
      expect((await shots.ticks(clone, 5)).at(0)).toBeGreaterThan(1)
      await shots.end(clone)
      await shots.end(machine)

      const without = origin.model.devices.filter((device) => device !== "virtio-rng-pci")
      const older = await bench.vmm.loader?.model(plan, without)
      expect(older?.devices).toEqual(without)
      expect(deviceArguments(plan, without)).toEqual([])
    },
    LONG,
  )

  test(
    "a further serial port is a socket of the instance, and of its clone, both ways [OVMS-DEV-020, OVMS-DEV-021, OVMS-DEV-022, OVMS-DEV-023]",
    async () => {
      const ports = ["first", "second", "third"].map((name) => ({ type: "serial", name, required: true }))
      const fourth = { type: "serial", name: "fourth", required: false }
      const { kernel } = bench.planOf(`${COUNTING} serial=1`)
      const given = { devices: [...ports, fourth], ...(kernel && { kernel }) }
      const refused = await bench.vmm.check(
        bench.planOf("", { devices: [...ports, { ...fourth, required: true }] }),
      )
      expect(refused).toMatchObject([{ pointer: "/devices/3/type", severity: "fatal" }])
      // Nobody listens yet to what it says first.
      const { machine, layers } = await shots.counting(given)
      const said = (of: Machine, text: string) => bench.until(of, text)
      expect(machine.record.devices).toEqual(
        ports.map(({ type, name }) => ({ type, name, file: `serial-${name}.sock` })),
      )
      const talk = await typed(machine, "hello")
      expect(talk).toBe("hello\n")
      await said(machine, "SERIAL [hello]\r\n")
      const { origin, disk } = await shots.take(machine)
      const chain = [...layers, { path: disk?.frozen ?? "", format: "qcow2" as const }]
      const clone = await (
        await shots.load(shots.resumePlan(origin, chain, { devices: given.devices }))
      ).resume()
      expect(await typed(clone, "of the clone")).toBe("of the clone\n")
      await said(clone, "SERIAL [of the clone]\r\n")
      expect(await typed(machine, "again")).toBe("again\n")
      await shots.end(clone, machine)
    },
    LONG,
  )

  /** What comes back of a line that is sent to the first of the machine's serial ports. */
  async function typed({ record }: Machine, line: string): Promise<string> {
    const socket = await connectIn(record.directory, "serial-first.sock")
    if (!socket) throw new Error("the port has no socket")
    socket.write(`${line}\n`)
    let text = ""
    for await (const bytes of socket) {
      text += bytes
      if (text.includes("\n")) break
    }
    return text
  }

  test("a device that no machine has is refused by name", async () => {
    const findings = await bench.vmm.check(
      bench.planOf("", { devices: [{ type: "vsock", name: "v", required: true }] }),
    )
    expect(findings).toMatchObject([
      { pointer: "/devices/0/type", severity: "fatal", reason: expect.stringContaining('"vsock"') },
    ])
  })

  test(
    "shared memory is a file of the instance, of its user alone, for a program of the host and for another machine [OVMS-DEV-010]",
    async () => {
      const size = 1 << 20
      const given = { devices: [{ type: "ivshmem", name: "frames", size, required: true }] }
      const first = bench.planOf("tick_ms=10 hlt=1 shared=1 shared_say=ready", given)
      const file = join(first.directory, "shm0.ram")
      const machine = await bench.vmm.launch(first)
      await bench.until(machine, "SHARED [ready]\r\n")
      const { mode, size: bytes } = statSync(file)
      expect([mode & 0o077, bytes]).toEqual([0, size])
      const memory = openSync(file, "r+")
      const answer = () => readSync(memory, told, 0, 2, 64) && told.toString()
      const told = Buffer.alloc(2)
      try {
        writeSync(memory, "of the host\0", 0)
        await bench.until(machine, "SHARED [of the host]\r\n")
        await until("the guest answers", () => answer() === "11")
      } finally {
        closeSync(memory)
      }
      const second = bench.planOf("tick_ms=10 hlt=1 shared_say=machine", given)
      linkSync(file, join(second.directory, "shm0.ram"))
      const other = await bench.vmm.launch(second)
      await bench.until(machine, "SHARED [machine]\r\n")
      await shots.end(other)
      expect((await machine.snapshot?.(shots.sink()).catch((error) => error))?.code).toBe("OVM_UNSUPPORTED")
      await shots.end(machine)
    },
    LONG,
  )
})
