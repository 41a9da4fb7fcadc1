import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { qemuImg } from "@ovms/testkit/disks.ts"
import { buildGuest } from "@ovms/testkit/guest.ts"
import { pidsIn, processesIn } from "@ovms/testkit/processes.ts"
import { until } from "@ovms/testkit/until.ts"
import { Bench, MiB } from "../bench.testing.ts"
import type { LaunchPlan } from "../plan.ts"
import { startedIn } from "../process/identity.ts"
import { workplaceOf } from "../process/jailed.ts"
import { spawnKept } from "../process/keeper.ts"
import { endStray } from "../process/stray.ts"
import { MEMORY, SnapshotBench } from "../snapshot-bench.testing.ts"
import { vmmSuite } from "../vmm.suite.ts"
import { channelIn } from "./agent.ts"
import { checkFirecracker } from "./check.ts"
import { firecracker } from "./index.ts"
import { storageFault } from "./storage.ts"

// Lane: first, 5 min. A common suite of real machines, where KVM is emulated in software.
// Real processes, on a host that may be busy.
setDefaultTimeout(240_000)

const folder = mkdtempSync(join(tmpdir(), "ovm-firecracker-here-"))
const missing = await firecracker(folder)
  .capabilities()
  .then(
    () => "",
    (error: unknown) => `(skipped: ${error instanceof Error ? error.message : error})`,
  )
rmSync(folder, { recursive: true, force: true })

const fault = storageFault()
const UNDER = {
  module: join(import.meta.dir, "index.ts"),
  factory: "firecracker",
  missing,
  snapshots: true,
}

vmmSuite("firecracker", {
  ...UNDER,
  lacks: {
    "power-off": "Firecracker has no ACPI power management: a guest ends by a reset",
    panic: "Firecracker has no pvpanic",
    result: "Firecracker has no port for results",
    standstill: "Firecracker tells its guest of an error in place of waiting for room",
    ...(fault !== undefined && { disks: fault }),
    "disks let go": "the storage daemon holds its disks through a snapshot",
    "kernel read by the guest": "Firecracker puts a kernel into memory before its guest begins",
    linux: "Debian's kernel does not come up in a KVM that is emulated in software, as where this was tried",
  },
  asked: "KBD",
  quit: 143,
  strangeDisk: "disk.raw",
  damaged: { cut: "bitcode", doubled: "bitcode", begun: "bitcode" },
})

const note = missing || (fault && `(skipped: ${fault})`) || (qemuImg.present ? "" : qemuImg.note)
describe.skipIf(note !== "")(`disks of Firecracker ${note}`, () => {
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-firecracker-disks-")), UNDER)
  beforeAll(async () => await bench.open(await buildGuest()))
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    rmSync(bench.root, { recursive: true })
  })

  function planWith(args: string, overlay?: string): LaunchPlan {
    const base = bench.path("it's a $base.raw")
    writeFileSync(base, Buffer.alloc(MiB))
    const layers = [{ path: base, format: "raw" as const }]
    const disk = { layers, size: 2 * MiB, writable: true, ...(overlay !== undefined && { overlay }) }
    return bench.planOf(args, { disk })
  }

  test("a VMM that is killed leaves a disk that the next one goes on with, and nobody else", async () => {
    const machine = await bench.vmm.launch(planWith("write=1 tick_ms=10 flush=1"))
    await bench.until(machine, "FLUSHED 1\r\n")
    const { directory, pid, overlay = "" } = machine.record
    expect(processesIn(directory).filter((line) => line.startsWith("qemu-storage-daemon"))).toHaveLength(1)
    // What shows the disk is seen by Firecracker alone: outside there is an empty file.
    expect(statSync(join(workplaceOf(directory), "disk.raw")).size).toBe(0)
    process.kill(pid, "SIGKILL")
    expect(await machine.exited).toMatchObject({ status: 137, reason: "signal" })
    expect(processesIn(directory)).toEqual([])
    qemuImg.run("check", "-q", overlay)
    const again = await bench.vmm.launch(planWith("read=1 tick_ms=1 ticks=1", overlay))
    const text = await bench.until(again)
    expect(text).toContain(`DISK sectors=${(2 * MiB) / 512}`)
    expect(text).toContain("SECTOR 1 [written by the guest]")
    expect(await again.exited).toEqual({ status: 0, reason: "guest-reset" })
    expect(processesIn(again.record.directory)).toEqual([])
  })

  test("what a paused guest wrote is in its file", async () => {
    const machine = await bench.vmm.launch(planWith("write=1 tick_ms=10"))
    await bench.until(machine, "TICK 1\r\n")
    await machine.pause()
    const raw = bench.path("as-it-is.raw")
    qemuImg.run("convert", "-q", "-U", "-f", "qcow2", "-O", "raw", machine.record.overlay ?? "", raw)
    expect(readFileSync(raw).toString("latin1", 512, 532)).toBe("written by the guest")
    await machine.stop({ graceMs: 0 })
  })

  test("a disk whose process was killed fails its guest's writes, and the machine can be stopped", async () => {
    const machine = await bench.vmm.launch(planWith("tick_ms=10 log=8 button=1"))
    await bench.until(machine, "TICK 2\r\n")
    const [storage = 0] = pidsIn(machine.record.directory, "qemu-storage-da")
    process.kill(storage, "SIGKILL")
    expect(await bench.until(machine, "DISK-FAILED ")).toContain("DISK-FAILED ")
    expect(await machine.stop()).toBe("guest")
    expect(processesIn(machine.record.directory)).toEqual([])
  })

  test("further disks and volumes are there in order, and keep what is written to them [OVMS-GST-030, OVMS-GST-031, OVMS-API-515]", async () => {
    const file = (name: string, text: string) => {
      const path = bench.path(name)
      writeFileSync(path, Buffer.alloc(MiB, text))
      return path
    }
    const raw = (path: string) => [{ path, format: "raw" as const }]
    const volume = file("volume.raw", "volume ")
    const base = file("data.raw", "data ")
    const [data, room] = [bench.path("disk-data.qcow2"), bench.path("disk-room.qcow2")]
    const more: Partial<LaunchPlan> = {
      disks: [
        { name: "data", layers: raw(base), size: MiB, overlay: data },
        { name: "tools", layers: raw(file("tools.raw", "tools ")), size: MiB },
        { name: "room", layers: [], size: 4 * MiB, overlay: room },
      ],
      firstBoot: { path: file("first-boot.iso", "first boot "), size: MiB },
      volumes: [{ path: volume, serial: "kept", readOnly: false }],
    }
    const boot = async (args: string) => {
      const machine = await bench.vmm.launch({ ...planWith(`tick_ms=1 ticks=1 ${args}`), ...more })
      const text = await bench.until(machine)
      await machine.exited
      expect(processesIn(machine.record.directory)).toEqual([])
      return text
    }
    expect(await boot("disk=2 read=0 write=1")).toMatch(/SECTOR 0 \[data data /)
    expect(await boot("disk=2 read=0 read=1")).toContain("SECTOR 1 [written by the guest]")
    expect(await boot("disk=3 read=0 write=1")).toMatch(/WROTE 1 error [\s\S]*SECTOR 0 \[tools tools/)
    expect(await boot("disk=4 write=1")).toContain(`DISK sectors=${(4 * MiB) / 512}`)
    expect(await boot("disk=5 read=0")).toContain("SECTOR 0 [first boot first")
    expect(await boot("disk=6 read=0 write=1")).toMatch(/SECTOR 0 \[volume volume/)
    for (const path of [data, room]) qemuImg.run("check", "-q", path)
    expect(readFileSync(base).equals(Buffer.alloc(MiB, "data "))).toBe(true)
    expect(readFileSync(volume).toString("latin1", 512, 532)).toBe("written by the guest")
  })

  test("what a guest is told at its first boot is the disk behind", async () => {
    const path = bench.path("first-boot.iso")
    writeFileSync(path, Buffer.alloc(MiB, "first boot "))
    const plan = bench.planOf("read=0 tick_ms=1 ticks=1", { firstBoot: { path, size: MiB } })
    const text = await bench.until(await bench.vmm.launch(plan))
    expect(text).toContain("SECTOR 0 [first boot first boot")
  })

  test("a vsock device is a socket of the host, of each clone its own [OVMS-DEV-030]", async () => {
    const shots = new SnapshotBench(bench)
    const devices = [{ type: "vsock", name: "talk", required: true }]
    const plan = bench.planOf("tick_ms=10 hlt=1", { devices, resources: { vcpus: 1, memory: MEMORY } })
    const machine = await bench.vmm.launch(plan)
    await bench.until(machine, "TICK 2\r\n")
    const jailed = (await bench.vmm.capabilities()).jailed?.active === true
    const file = jailed ? "jailed/vsock.sock" : "vsock.sock"
    const socket = { type: "vsock", name: "talk", file }
    expect(machine.record.devices).toEqual([socket])
    expect(machine.agent).toBeUndefined()
    const { origin } = await shots.take(machine, { ram: bench.path("ram"), state: bench.path("state") })
    const loaded = await shots.load(shots.resumePlan(origin, undefined, { devices }))
    const clone = await loaded.resume()
    expect(clone.record.devices).toEqual([socket])
    for (const { record } of [machine, clone]) {
      // This guest has no driver, and so nobody listens.
      expect(statSync(join(record.directory, file)).isSocket()).toBe(true)
      expect(await channelIn(record.directory)).toBeUndefined()
    }
    await shots.end(machine, clone)
  })

  test("streams to an agent are over once its guest goes on, and with each snapshot, and that is told", async () => {
    const shots = new SnapshotBench(bench)
    const plan = bench.planOf("tick_ms=10 hlt=1", { agent: true, resources: { vcpus: 1, memory: MEMORY } })
    const machine = await bench.vmm.launch(plan)
    let cuts = 0
    machine.onAgentCut?.(() => cuts++)
    await bench.until(machine, "TICK 2\r\n")
    await machine.pause()
    expect(cuts).toBe(0)
    await machine.resume()
    // Of a version that has the guest wait for it.
    const paused = machine.record.version.startsWith("1.16.") ? 1 : 0
    expect(cuts).toBe(paused)
    await shots.ticks(machine, 3)
    await shots.take(machine, { ram: bench.path("ram"), state: bench.path("state") })
    expect(cuts).toBe(paused + 1)
    await shots.ticks(machine, 3)
    await shots.end(machine)
  })

  test("a clone has zeros in place of what was told at the first boot, and no path of this host in its state (OVMS-FBC-007)", async () => {
    const shots = new SnapshotBench(bench)
    const path = bench.path("first-boot.iso")
    writeFileSync(path, Buffer.alloc(MiB, "first boot "))
    const resources = { vcpus: 1, memory: MEMORY }
    const machine = await bench.vmm.launch(
      bench.planOf("tick_ms=10 hlt=1", { firstBoot: { path, size: MiB }, resources }),
    )
    await bench.until(machine, "TICK 2\r\n")
    const { origin } = await shots.take(machine, { ram: bench.path("ram"), state: bench.path("state") })
    await machine.stop({ graceMs: 0 })
    expect(origin.model.devices).toContain(`virtio-blk,first-boot,size=${MiB}`)
    expect(readFileSync(origin.state).includes(bench.root)).toBe(false)
    const clone = await shots.clone(origin)
    await shots.ticks(clone, 3)
    expect(
      readFileSync(join(workplaceOf(clone.record.directory), "first-boot.raw")).equals(Buffer.alloc(MiB)),
    ).toBe(true)
    await clone.stop({ graceMs: 0 })
  })
})

const noBridge = missing || bridgeMissing()
describe.skipIf(noBridge !== "")(`a network of the host ${noBridge}`, () => {
  const bench = new Bench(mkdtempSync(join(tmpdir(), "ovm-firecracker-net-")), UNDER)
  const bridge = `fcbr${process.pid}`
  const joined = () => readdirSync(`/sys/class/net/${bridge}/brif`)
  beforeAll(async () => {
    await bench.open(await buildGuest())
    execFileSync("ip", ["link", "add", "name", bridge, "type", "bridge"])
  })
  afterAll(async () => {
    await Promise.all(bench.folders.map(endStray))
    execFileSync("ip", ["link", "del", "dev", bridge])
    rmSync(bench.root, { recursive: true })
  })

  test("a machine has a place of its own on the bridge as long as its VMM lives, and its clone's leads nowhere", async () => {
    const shots = new SnapshotBench(bench)
    const mac = "02:00:00:00:00:17"
    const network = {
      ...{ mode: "bridge" as const, mac, forwards: [], outbound: true },
      bridge: { name: "lan", interface: bridge, address: "10.88.0.2" },
    }
    const resources = { vcpus: 1, memory: MEMORY }
    const machine = await bench.vmm.launch(bench.planOf("tick_ms=10 hlt=1", { network, resources }))
    await bench.until(machine, "TICK 2\r\n")
    const [name = ""] = joined()
    expect(name).toStartWith("ovmtap-")
    const known = execFileSync("bridge", ["fdb", "show", "dev", name]).toString()
    expect(known).toContain(`${mac} master ${bridge} static`)
    const { origin } = await shots.take(machine, { ram: bench.path("ram"), state: bench.path("state") })
    expect(bench.vmm.loader?.macIn(origin.model.devices)).toBe(mac)
    const clone = await shots.clone(origin)
    await shots.ticks(clone, 3)
    expect(joined()).toEqual([name])
    process.kill(machine.record.pid, "SIGKILL")
    await machine.exited
    await until("its interface is gone", joined, { is: ({ length }) => length === 0 })
    await clone.stop({ graceMs: 0 })
  })
})

describe.skipIf(missing !== "")(`a Firecracker that was left half way ${missing}`, () => {
  test("has no machine, and is ended by whoever takes it over", async () => {
    const directory = mkdtempSync(join(tmpdir(), "ovm-firecracker-left-"))
    try {
      const vmm = firecracker(join(directory, "cache"))
      const { name, version, accelerator, binary } = await vmm.capabilities()
      await spawnKept([binary, "--api-sock", "api.sock"], { directory, consoleLimit: 4096 })
      await until("it listens", () => existsSync(join(directory, "api.sock")))
      const identity = await startedIn(directory)
      if (!identity) throw new Error("it has no pid")
      const machine = await vmm.adopt({ vmm: name, version, accelerator, ...identity })
      expect(await machine.exited).toMatchObject({ status: 137, reason: "signal" })
      await until("nothing of it is left", () => processesIn(directory), { is: (all) => all.length === 0 })
    } finally {
      await endStray(directory)
      rmSync(directory, { recursive: true })
    }
  })
})

function bridgeMissing(): string {
  try {
    execFileSync("unshare", ["-n", "ip", "link", "add", "name", "b0", "type", "bridge"], { stdio: "ignore" })
    return existsSync("/dev/net/tun") ? "" : "(skipped: there is no /dev/net/tun)"
  } catch {
    return "(skipped: bridges cannot be made here)"
  }
}

test("a host that cannot show layers says what it lacks", () => {
  const reason = storageFault({ PATH: "/nowhere" })
  expect(reason).toMatch(process.getuid?.() === 0 ? /qemu-storage-daemon/ : /root/)
  const layers = [{ path: "/base.qcow2", format: "qcow2" as const }]
  const plan: LaunchPlan = {
    id: "x",
    directory: "/nowhere",
    resources: { vcpus: 1, memory: MiB * 64 },
    kernel: { path: "/kernel", args: "" },
    disk: { layers, size: MiB, writable: true },
    devices: [],
    consoleLimit: 4096,
  }
  expect(checkFirecracker(plan, { fault: () => "it lacks something" })).toEqual([
    { pointer: "/diskLayers", severity: "fatal", reason: "it lacks something" },
  ])
  const plain = { layers: [{ path: "/base.raw", format: "raw" as const }], size: MiB, writable: false }
  expect(checkFirecracker({ ...plan, disk: plain }, { fault: () => "it lacks something" })).toEqual([])
})

test("disks that guests know by a number elsewhere are found by their place, and that is said [OVMS-API-515]", () => {
  const layers = [{ path: "/tools.raw", format: "raw" as const }]
  const volume = (at: number) => ({ path: `/v${at}`, serial: `kept${at}`, readOnly: true })
  const plan: LaunchPlan = {
    id: "disks",
    directory: "/nowhere",
    resources: { vcpus: 1, memory: 64 * MiB },
    kernel: { path: "/kernel", args: "" },
    disks: [
      { name: "tools", layers, size: MiB },
      { name: "data", layers, size: MiB, overlay: "/nowhere/disk-data.qcow2" },
    ],
    volumes: [volume(1)],
    devices: [],
    consoleLimit: 4096,
  }
  const found = checkFirecracker(plan, { fault: () => "it lacks something" })
  expect(found).toEqual([
    { pointer: "/disks/1", severity: "fatal", reason: "it lacks something" },
    ...[
      ["/disks/0", "tools", "1 (Linux: /dev/vda)"],
      ["/disks/1", "data", "2 (Linux: /dev/vdb)"],
      ["volumes/0", "kept1", "3 (Linux: /dev/vdc)"],
    ].map(([pointer = "", name, place]) => ({
      ...{ pointer, severity: "degraded" as const },
      reason: `${name}: Firecracker gives disks no serial number: the guest finds it as its disk ${place}`,
    })),
  ])
  const many = { ...plan, volumes: Array.from({ length: 13 }, (_, at) => volume(at)) }
  expect(checkFirecracker(many, { fault: () => undefined })[0]).toMatchObject({
    pointer: "/disks",
    severity: "fatal",
  })
})

test("a source of entropy is there, and a device of another type is refused by name [OVMS-MAN-057, OVMS-MAN-059, OVMS-DEV-031]", () => {
  const plan = {
    id: "devices",
    directory: "/nowhere",
    resources: { vcpus: 1, memory: 64 * MiB },
    kernel: { path: "/kernel", args: "" },
    devices: [
      { type: "rng", name: "entropy", required: true },
      { type: "ivshmem", name: "frames", size: MiB, required: true },
      { type: "gpu", name: "extra", required: false },
      { type: "rng", name: "placed", required: true, mmioAddr: "0x1" },
      { type: "vsock", name: "talk", required: true },
      { type: "vsock", name: "more", required: true },
    ],
    consoleLimit: 4096,
  }
  expect(checkFirecracker(plan).map(({ pointer, severity }) => `${severity} ${pointer}`)).toEqual([
    "fatal /devices/1/type",
    "degraded /devices/2/type",
    "degraded /devices/3/mmio_addr",
    "fatal /devices/5/type",
  ])
})
