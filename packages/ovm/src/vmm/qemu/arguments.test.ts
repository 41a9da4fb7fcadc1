import { describe, expect, test } from "bun:test"
import type { LaunchPlan } from "../plan.ts"
import { type QemuOptions, qemuArguments } from "./arguments.ts"
import { modelOf } from "./model.ts"
import { checkNetwork, macIn } from "./network.ts"
import { mostServed } from "./virtiofs.ts"

const plan: LaunchPlan = {
  id: "one",
  directory: "/instances/one",
  resources: { vcpus: 2, memory: 256 << 20 },
  devices: [],
  consoleLimit: 1024,
}
const generationId = "01234567-89ab-4def-8123-456789abcdef"
function options(accelerator: "kvm" | "tcg"): QemuOptions {
  return { accelerator, generationId, model: modelOf(plan, { accelerator, machineType: "pc-q35-7.2" }) }
}
const tcg = options("tcg")
const valuesOf = (argv: readonly string[], option: string) =>
  argv.filter((_, index) => argv[index - 1] === option)
const json = (argv: readonly string[], option: string) =>
  valuesOf(argv, option)
    .filter((value) => value.startsWith("{"))
    .map((value): unknown => JSON.parse(value))

// OVMS-SEC-030, OVMS-SEC-031
test("has no defaults, a sandbox and as few devices as possible", () => {
  const argv = qemuArguments(plan, tcg)
  for (const option of ["-nodefaults", "-no-user-config", "-no-reboot", "-S"]) expect(argv).toContain(option)
  expect(valuesOf(argv, "-sandbox")).toEqual([
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
  ])
  // Nothing that a file or a folder of the host could be behind, and no network.
  expect(argv.join(" ")).not.toMatch(/-(blockdev|drive|fsdev|virtfs|netdev|nic|kernel|initrd)\b|path=\//)
  expect(valuesOf(argv, "-smp")).toEqual(["2"])
  expect(valuesOf(argv, "-m")).toEqual(["262144k"])
  expect(json(argv, "-device")).toEqual([
    { driver: "isa-serial", chardev: "console" },
    { driver: "vmgenid", guid: generationId },
    { driver: "pvpanic" },
    { driver: "isa-debug-exit", iobase: 0x501, iosize: 1 },
  ])
})

// OVMS-SNP-140
test("a snapshot of before there was a pvpanic is gone on from without; any other difference shows", () => {
  const found = { accelerator: "tcg", machineType: "pc-q35-7.2" }
  const devicesFor = (theirs: readonly string[]) => modelOf(plan, found, theirs).devices
  expect(devicesFor(["isa-serial", "vmgenid"])).toEqual(["isa-serial", "vmgenid"])
  for (const theirs of [
    ["isa-serial", "vmgenid", "pvpanic"],
    ["pvpanic", "vmgenid"],
    ["pvpanic", "x"],
  ])
    expect(devicesFor(theirs)).toEqual(["isa-serial", "vmgenid", "pvpanic"])
  const all = ["isa-serial", "vmgenid", "pvpanic", "isa-debug-exit"]
  for (const theirs of [undefined, all]) expect(modelOf(plan, found, theirs).devices).toEqual(all)
  const model = { ...tcg.model, devices: ["isa-serial", "vmgenid"] }
  expect(
    json(qemuArguments(plan, { ...tcg, model }), "-device").map((one) => (one as { driver: string }).driver),
  ).toEqual(["isa-serial", "vmgenid"])
})

test("the machine type has a version, and the RAM a name, so that snapshots can be resumed", () => {
  const [machine] = valuesOf(qemuArguments(plan, tcg), "-machine")
  expect(machine).toStartWith("pc-q35-7.2,")
  expect(machine).toEndWith(",memory-backend=ram0")
  expect(json(qemuArguments(plan, tcg), "-object")).toEqual([
    { "qom-type": "memory-backend-ram", id: "ram0", size: 256 << 20 },
  ])
})

test("a resume has the snapshot's RAM, and what is still booting, if anything", () => {
  const kernel = { path: "/k", args: "quiet" }
  const booting = { ...plan, kernel, initrd: { path: "/i" } }
  const again = qemuArguments(booting, { ...tcg, ram: "/r" })
  expect(["-kernel", "-initrd", "-append"].map((option) => valuesOf(again, option))).toEqual([
    ["/k"],
    ["/i"],
    ["quiet"],
  ])
  const argv = qemuArguments(plan, { ...tcg, ram: "/r,share=on" })
  expect(json(argv, "-object")).toEqual([
    {
      "qom-type": "memory-backend-file",
      id: "ram0",
      size: 256 << 20,
      "mem-path": "/r,share=on",
      share: false,
    },
  ])
  expect(valuesOf(argv, "-incoming")).toEqual(["defer"])
  for (const option of ["-kernel", "-initrd", "-append"]) expect(argv).not.toContain(option)
  const known = new Set(["-object", "-incoming", "-kernel", "-initrd", "-append"])
  const rest = (args: readonly string[]) =>
    args.filter((arg, index) => !known.has(arg) && !known.has(args[index - 1] ?? ""))
  expect(rest(argv)).toEqual(rest(qemuArguments({ ...plan, kernel, initrd: { path: "/i" } }, tcg)))
})

test("the accelerator decides the processor", () => {
  expect(valuesOf(qemuArguments(plan, options("kvm")), "-cpu")).toEqual(["host"])
  expect(valuesOf(qemuArguments(plan, options("kvm")), "-accel")).toEqual(["kvm"])
  expect(valuesOf(qemuArguments(plan, tcg), "-accel")).toEqual(["tcg"])
})

test("every layer is an explicit node, read-only but for the overlay", () => {
  const layers = [
    { path: "/b", format: "raw" as const },
    { path: "/d", format: "qcow2" as const },
  ]
  const disk = { layers, size: 1 << 20, writable: true }
  const argv = qemuArguments({ ...plan, disk }, { ...tcg, overlay: "/o" })
  const writable = { discard: "unmap", cache: { "no-flush": false } }
  expect(json(argv, "-blockdev")).toEqual([
    { driver: "file", "node-name": "file0", filename: "/b", "read-only": true },
    { driver: "raw", "node-name": "layer0", file: "file0", "read-only": true },
    { driver: "file", "node-name": "file1", filename: "/d", "read-only": true },
    { driver: "qcow2", "node-name": "layer1", file: "file1", "read-only": true, backing: "layer0" },
    { driver: "file", "node-name": "file2", filename: "/o", "read-only": false, ...writable },
    {
      driver: "qcow2",
      "node-name": "layer2",
      file: "file2",
      "read-only": false,
      ...writable,
      backing: "layer1",
    },
  ])
  const device = { driver: "virtio-blk-pci", id: "disk", rerror: "stop" }
  expect(json(argv, "-device")).toContainEqual({ ...device, drive: "layer2", werror: "stop" })
  const readOnly = qemuArguments({ ...plan, disk: { ...disk, writable: false } }, tcg)
  expect(json(readOnly, "-device")).toContainEqual({ ...device, drive: "layer1", werror: "report" })
})

// OVMS-MAN-127
test("further disks are chains of their own behind the first, each with its name", () => {
  const layers = [{ path: "/b", format: "raw" as const }]
  const disks = [
    { name: "data", layers, size: 1 << 20, overlay: "/i/disk-data.qcow2" },
    { name: "tools", layers, size: 1 << 20 },
    { name: "room", layers: [], size: 1 << 20, overlay: "/i/disk-room.qcow2" },
  ]
  const disk = { layers, size: 1 << 20, writable: false }
  const volumes = [{ path: "/v", serial: "kept", readOnly: true }]
  const argv = qemuArguments({ ...plan, disk, disks, volumes }, tcg)
  const options = (name: string) => json(argv, name) as Record<string, unknown>[]
  const drives = options("-device").filter(({ driver }) => driver === "virtio-blk-pci")
  expect(drives.map(({ serial, drive, werror }) => [serial, drive, werror])).toEqual([
    [undefined, "layer0", "report"],
    ["data", "disk0-layer1", "stop"],
    ["tools", "disk1-layer0", "report"],
    ["room", "disk2-layer0", "stop"],
    ["kept", "volume0", "report"],
  ])
  const nodes = new Map(options("-blockdev").map((one) => [one["node-name"], one]))
  expect(nodes.get("disk0-layer1")).toMatchObject({ backing: "disk0-layer0", "read-only": false })
  expect(nodes.get("disk0-file1")).toMatchObject({ filename: "/i/disk-data.qcow2" })
  expect(nodes.get("disk2-layer0")).toMatchObject({ driver: "qcow2", backing: null })
})

// OVMS-API-039
test("flushes of an ephemeral machine go no further than QEMU", () => {
  const disk = { layers: [{ path: "/b", format: "raw" as const }], size: 1 << 20, writable: true }
  const argv = qemuArguments({ ...plan, disk: { ...disk, ephemeral: true } }, { ...tcg, overlay: "/o" })
  for (const name of ["file1", "layer1"])
    expect(json(argv, "-blockdev")).toContainEqual(
      expect.objectContaining({ "node-name": name, cache: { "no-flush": true } }),
    )
})

test("a qcow2 at the bottom has no backing node, whatever its header says", () => {
  const disk = { layers: [{ path: "/b", format: "qcow2" as const }], size: 1 << 20, writable: false }
  const argv = qemuArguments({ ...plan, disk }, tcg)
  expect(json(argv, "-blockdev")).toContainEqual(expect.objectContaining({ driver: "qcow2", backing: null }))
})

test("hostile strings are whole arguments or JSON strings, never options", () => {
  const evil = `a,mem-path=/etc/passwd,file.filename="/etc/shadow"\\"}\n-S`
  const served = { socket: `/${evil}`, export: evil, format: "raw" as const }
  const argv = qemuArguments(
    {
      ...plan,
      id: evil,
      kernel: { path: `/${evil}`, args: evil },
      initrd: { path: `/${evil}` },
      disk: { layers: [{ path: `/${evil}`, format: "qcow2" }, served], size: 1 << 20, writable: true },
      devices: [{ type: "ivshmem", name: evil, size: 1 << 20, mmioAddr: evil, required: true }],
    },
    { ...tcg, overlay: `/${evil}` },
  )
  expect(valuesOf(argv, "-append")).toEqual([evil])
  expect(valuesOf(argv, "-kernel")).toEqual([`/${evil}`])
  expect(valuesOf(argv, "-initrd")).toEqual([`/${evil}`])
  expect(json(argv, "-blockdev")).toContainEqual(
    expect.objectContaining({ driver: "file", filename: `/${evil}` }),
  )
  const server = { type: "unix", path: `/${evil}` }
  expect(json(argv, "-blockdev")).toContainEqual(
    expect.objectContaining({ driver: "nbd", server, export: evil }),
  )
  expect(json(argv, "-object").slice(1)).toEqual([
    { "qom-type": "memory-backend-file", id: "shm0", size: 1 << 20, "mem-path": "shm0.ram", share: true },
  ])
  const rest = argv.filter(
    (_, index) => !["-append", "-kernel", "-initrd", "-blockdev"].includes(argv[index - 1] ?? ""),
  )
  expect(rest.join(" ")).not.toContain("passwd")
})

describe("the network", () => {
  const MAC = "5a:3c:0f:91:7e:02"
  const forwards = [{ protocol: "tcp", address: "127.0.0.1", host: 8080, guest: 80 }] as const
  const user = { mode: "user", mac: MAC, forwards, outbound: true } as const
  const NIC = { driver: "virtio-net-pci", id: "nic", mac: MAC, romfile: "", addr: "0x1e" }
  const device = `virtio-net-pci,mac=${MAC}`
  const argvOf = (network: LaunchPlan["network"], devices: readonly string[]) =>
    qemuArguments({ ...plan, ...(network && { network }) }, { ...tcg, model: { ...tcg.model, devices } })

  test("is passt's, by an inherited socket, or QEMU's own, which leads nowhere (OVMS-MAN-108, OVMS-MAN-109)", () => {
    const passt = argvOf(user, ["vmgenid", device])
    expect(json(passt, "-netdev")).toEqual([
      { type: "stream", id: "net", server: false, addr: { type: "fd", str: "6" } },
    ])
    expect(json(passt, "-device").at(-1)).toEqual({ ...NIC, netdev: "net" })
    const own = argvOf({ ...user, outbound: false }, ["vmgenid", device, "slirp"])
    expect(json(own, "-netdev")).toEqual([
      { type: "user", id: "net", restrict: true, hostfwd: [{ str: "tcp:127.0.0.1:8080-:80" }] },
    ])
    const none = argvOf({ ...user, mode: "none", forwards: [] }, ["vmgenid", device])
    expect(valuesOf(none, "-netdev")).toEqual([])
    expect(json(none, "-device").at(-1)).toEqual(NIC)
    expect(argvOf(undefined, ["vmgenid"]).join(" ")).not.toMatch(/netdev|virtio-net/)
  })

  // OVMS-SNP-140, OVMS-SNP-160
  test("of a snapshot is what its guest knows, and none where it knows none", () => {
    const found = { accelerator: "tcg", machineType: "pc-q35-7.2" }
    const other = "virtio-net-pci,mac=02:00:00:00:00:01"
    const devicesFor = (theirs: readonly string[]) =>
      modelOf({ ...plan, network: user }, found, theirs).devices
    expect(devicesFor(["isa-serial", "vmgenid"])).toEqual(["isa-serial", "vmgenid"])
    expect(devicesFor([other])).toContain(other)
    expect(devicesFor([other])).not.toContain(device)
    expect(devicesFor([other, "slirp"]).slice(-2)).toEqual([other, "slirp"])
    expect(macIn(["vmgenid", other])).toBe("02:00:00:00:00:01")
    for (const hostile of [`${other},netdev=x`, "virtio-net-pci,mac=x", "virtio-net-pci", `x${other}`])
      expect([macIn([hostile]), devicesFor([hostile]).includes(hostile)]).toEqual([undefined, false])
  })

  test("of an IPv6 address has no port where QEMU itself would have to open it", () => {
    const six = { ...user, outbound: false, forwards: [{ ...forwards[0], address: "::1" }] }
    const findings = [...checkNetwork({ ...plan, network: six })]
    expect(findings).toMatchObject([{ pointer: "/network/ports", severity: "fatal" }])
    const slirp = [...checkNetwork({ ...plan, network: user }, [device, "slirp"])]
    expect(slirp).toMatchObject([{ pointer: "/network/outbound", severity: "degraded" }])
  })
})

// OVMS-AGT-001, OVMS-AGT-002, OVMS-AGT-120
test("the way to an agent is there if it was asked for, or the snapshot's guest has it", () => {
  const found = { accelerator: "tcg", machineType: "pc-q35-7.2" }
  const wanted = modelOf({ ...plan, agent: true }, found)
  const ways = ["virtio-serial-pci,agent", "virtserialport,guest-agent"]
  expect(wanted.devices).toEqual([...modelOf(plan, found).devices, ...ways])
  expect(modelOf(plan, found, wanted.devices)).toEqual(wanted)
  expect(modelOf({ ...plan, agent: true }, found, tcg.model.devices)).toEqual(tcg.model)
  const argv = qemuArguments({ ...plan, agent: true }, { ...tcg, model: wanted })
  expect(json(argv, "-device")).toContainEqual({
    driver: "virtserialport",
    id: "agent-port",
    bus: "agents.0",
    chardev: "agent",
    name: "org.ovms.agent.0",
  })
  const before = { ...wanted, devices: wanted.devices.slice(0, -1) }
  expect(modelOf(plan, found, before.devices)).toEqual(before)
  const ports = (model: typeof wanted) =>
    json(qemuArguments(plan, { ...tcg, model }), "-device")
      .map((device) => device as Record<string, unknown>)
      .flatMap(({ max_ports, name }) => max_ports ?? name ?? [])
  expect(ports(wanted)).toEqual([3, "org.ovms.agent.0", "org.qemu.guest_agent.0"])
  expect(ports(before)).toEqual([2, "org.ovms.agent.0"])
  expect(qemuArguments(plan, tcg).join(" ")).not.toContain("agent")
})

test("a folder's path is no option of QEMU's, and root's files are not the guest's to make [OVMS-SHR-011, OVMS-SHR-012]", () => {
  const shares = [
    { source: "/a,readonly=on,b", target: "/a", tag: "ovm.0", readOnly: false },
    { source: "/b", target: "/b", tag: "ovm.1", readOnly: true },
  ]
  const argv = qemuArguments({ ...plan, shares }, tcg)
  const model = process.getuid?.() === 0 ? "mapped-xattr" : "none"
  expect(valuesOf(argv, "-fsdev")).toEqual([
    `local,id=share0,path=/a,,readonly=on,,b,security_model=${model},multidevs=remap`,
    "local,id=share1,path=/b,security_model=none,multidevs=remap,readonly=on",
  ])
  expect(json(argv, "-device").slice(-2)).toEqual([
    { driver: "virtio-9p-pci", fsdev: "share0", mount_tag: "ovm.0" },
    { driver: "virtio-9p-pci", fsdev: "share1", mount_tag: "ovm.1" },
  ])
})

test("a share that virtiofs serves has a second device of its tag, and the guest's RAM is shared for it alone [OVMS-SHR-035]", () => {
  const share = { target: "/a", readOnly: true }
  const shares = [
    { ...share, source: "/a", tag: "ovm.0" },
    { ...share, source: "/b", tag: "ovm.1" },
  ]
  const argv = qemuArguments({ ...plan, shares }, { ...tcg, served: ["ovm.1"] })
  expect(json(argv, "-device").slice(-1)).toEqual([
    { driver: "vhost-user-fs-pci", chardev: "virtiofs0", tag: "ovm.1" },
  ])
  expect(valuesOf(argv, "-fsdev")).toHaveLength(2)
  expect(valuesOf(argv, "-chardev")).toContain("socket,id=virtiofs0,fd=8")
  const ram = { "qom-type": "memory-backend-memfd", id: "ram0", size: 256 << 20, share: true }
  expect(json(argv, "-object")).toEqual([ram])
  expect(json(qemuArguments({ ...plan, shares }, tcg), "-object")).toEqual([
    { "qom-type": "memory-backend-ram", id: "ram0", size: 256 << 20 },
  ])
  const volumes = Array.from({ length: 26 }, (_, at) => ({
    path: `/v${at}`,
    serial: `v${at}`,
    readOnly: false,
  }))
  expect([mostServed({ ...plan, shares }), mostServed({ ...plan, shares, volumes })]).toEqual([28, 2])
})
