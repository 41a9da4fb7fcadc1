import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { until } from "@ovms/testkit/until.ts"
import { Bench } from "../bench.testing.ts"
import { readConsole } from "../console.ts"
import { endStray } from "../process/stray.ts"
import { SnapshotBench } from "../snapshot-bench.testing.ts"
import { vmmSuite } from "../vmm.suite.ts"
import { findQemu } from "./find.ts"
import { lookAt } from "./go.ts"
import { qemu } from "./index.ts"
import { QemuMachine } from "./machine.ts"
import { connectQmp, type Qmp } from "./qmp.ts"
import { GuestWatch } from "./watch.ts"

// Lane: first, 8 min. A common suite of real machines.
// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const missing = await findQemu().then(
  () => "",
  (error: unknown) => `(skipped: ${error instanceof Error ? error.message : error})`,
)

const UNDER = { module: join(import.meta.dir, "index.ts"), factory: "qemu", snapshots: true }

const damaged = { cut: "description", doubled: "follow", begun: "magic" }
vmmSuite("qemu", { ...UNDER, missing, strangeDisk: "virtio-blk", damaged })

describe.skipIf(missing !== "")(`what only QEMU has ${missing}`, () => {
  const root = mkdtempSync(join(tmpdir(), "ovm-bios-"))
  afterAll(async () => {
    for (const name of readdirSync(root)) await endStray(join(root, name))
    rmSync(root, { recursive: true })
  })

  /** Boots a disk whose first sector prints a word on the serial port and resets. */
  async function bootSector(
    devices: Parameters<ReturnType<typeof qemu>["launch"]>[0]["devices"],
  ): Promise<string> {
    const directory = mkdtempSync(join(root, "machine-"))
    const disk = join(directory, "boot.raw")
    const code = [
      ...[0xbe, 0x20, 0x7c, 0xac, 0x84, 0xc0, 0x74, 0x06], //        mov si, words; next: lodsb; test al, al; jz end
      ...[0xba, 0xf8, 0x03, 0xee, 0xeb, 0xf5], //                    mov dx, 0x3f8; out dx, al; jmp next
      ...[0xb0, 0xfe, 0xe6, 0x64, 0xf4], //                          end: mov al, 0xfe; out 0x64, al; hlt
    ]
    const sector = Buffer.alloc(1 << 20) // SeaBIOS passes over a disk of one sector
    Buffer.from(code).copy(sector)
    sector.write("BOOTED", 0x20)
    sector.writeUInt16LE(0xaa55, 510)
    writeFileSync(disk, sector)
    const resources = { vcpus: 1, memory: 32 << 20 }
    const layers = [{ path: disk, format: "raw" as const }]
    const plan = {
      id: "bios",
      directory,
      resources,
      disk: { layers, size: 1 << 20, writable: false },
      devices,
      consoleLimit: 4096,
    }
    const machine = await qemu(join(root, "cache")).launch(plan)
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-reset" })
    let text = ""
    for await (const bytes of readConsole(directory)) text += Buffer.from(bytes).toString()
    return text
  }

  // OVMS-MAN-026, OVMS-GST-012
  test("boots from the disk by BIOS when there is no kernel", async () => {
    expect(await bootSector([])).toBe("BOOTED")
  })

  test.skipIf(!qemuImg.present)(`a layer may be served ${qemuImg.note}`, async () => {
    const bench = new Bench(join(root, "served"), { ...UNDER, missing })
    mkdirSync(bench.root)
    await bench.open(await buildGuest())
    const [disk, socket] = [join(root, "served.raw"), join(root, "served.sock")]
    const bytes = Buffer.alloc(1 << 20)
    bytes.write("served by NBD", 512)
    writeFileSync(disk, bytes)
    const options = ["-t", "-r", "-e", "4", "-f", "raw", "-x", "layer", "-k", socket, disk]
    const server = Bun.spawn(["qemu-nbd", ...options], { stdio: ["ignore", "ignore", "inherit"] })
    try {
      await until("the server listens", () => existsSync(socket))
      const layers = [{ socket, export: "layer", format: "raw" as const }]
      const written = { layers, size: 1 << 20, writable: true }
      const plan = bench.planOf("write=0 read=1 tick_ms=10 hlt=1", { disk: written })
      const machine = await bench.vmm.launch(plan)
      expect(await bench.until(machine, "TICK 1")).toContain("SECTOR 1 [served by NBD]")
      const shots = new SnapshotBench(bench)
      const { origin, disk: overlay } = await shots.take(machine)
      const chain = [...layers, { path: overlay?.frozen ?? "", format: "qcow2" as const }]
      const clone = await shots.clone(origin, chain)
      await shots.ticks(clone, 2)
      await shots.end(machine, clone)
      expect(readFileSync(disk).equals(bytes)).toBe(true)
    } finally {
      server.kill()
      await server.exited
      await Promise.all(bench.folders.map(endStray))
    }
  })

  test("a guest that powered off is not said to be killed, however long QEMU takes to end", async () => {
    const slow = join(root, "slow-qemu")
    const { path } = await findQemu()
    const script = `case "$*" in *-S*) trap '' TERM; ${path} "$@"; status=$?; sleep 3; exit $status;; esac\nexec ${path} "$@"\n`
    writeFileSync(slow, `#!/bin/sh\n${script}`, { mode: 0o755 })
    const bench = new Bench(join(root, "slow"), { ...UNDER, missing })
    mkdirSync(bench.root)
    await bench.open(await buildGuest())
    const before = process.env.OVM_QEMU
    process.env.OVM_QEMU = slow
    try {
      const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 button=1"))
      await bench.until(machine, "TICK")
      expect(await machine.stop()).toBe("guest")
      expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
    } finally {
      if (before === undefined) delete process.env.OVM_QEMU
      else process.env.OVM_QEMU = before
      await Promise.all(bench.folders.map(endStray))
    }
  })

  test("a guest that powers off is not waited for because of what QEMU never answers then", async () => {
    const bench = new Bench(join(root, "hangs"), { ...UNDER, missing })
    mkdirSync(bench.root)
    await bench.open(await buildGuest())
    const launched = await bench.vmm.launch(bench.planOf("tick_ms=10 button=1"))
    await bench.until(launched, "TICK")
    launched.detach()
    const watch = new GuestWatch()
    const { directory } = launched.record
    const qmp = await connectQmp(directory, { timeoutMs: 5000, onEvent: watch.onEvent })
    if (!qmp) throw new Error("no monitor")
    await lookAt(qmp, watch)
    const execute = async (command: string, ...more: [Record<string, unknown>?, number?]) =>
      await (command === "cont" ? new Promise(() => {}) : qmp.execute(command, ...more))
    const hangs: Qmp = Object.create(qmp, { execute: { value: execute } })
    const machine = new QemuMachine(launched.record, launched.timings, hangs, watch)
    expect(await machine.stop()).toBe("guest")
    expect(await machine.exited).toMatchObject({ status: 0, reason: "guest-shutdown" })
    await Promise.all(bench.folders.map(endStray))
  })

  // OVMS-MAN-058
  test("takes shared memory and a source of entropy, and leaves out an optional device that it does not know", async () => {
    const shared = {
      type: "ivshmem",
      name: "a,mem-path=/etc/passwd",
      size: 1 << 20,
      mmioAddr: "0x10000000",
      required: true,
    }
    const random = { type: "rng", name: "c", required: true }
    const unknown = { type: "gpu", name: "b", required: false }
    expect(await bootSector([shared, random, shared, unknown])).toBe("BOOTED")
  })
})
