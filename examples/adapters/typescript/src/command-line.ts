import type { Disk, Plan } from "./contract.ts"

// All files of a machine are in its folder, where QEMU runs.
export const MONITOR = "monitor.sock"
export const AGENT_SOCKET = "agent.sock"
export const TRACE = "trace"
export const WHY = "why"
export const OWN_FILES = [MONITOR, AGENT_SOCKET, TRACE, WHY]

/** All that it emulates but what makes page walks longer, and string instructions that go byte by byte. */
const CPU = "max,la57=off,erms=off,fsrm=off"

/** Of virtio-mmio, as long as there is one I/O interrupt controller. */
export const MOST_BUSES = 8

/** Nothing in JSON can become syntax of QEMU's. */
const asJson = (option: string, value: object): string[] => [option, JSON.stringify(value)]

/** QEMU's arguments for a machine of the type microvm. */
export function commandLine(plan: Plan): readonly string[] {
  const { resources, kernel, initrd } = plan
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-machine", "microvm,acpi=on,ioapic2=off,rtc=on", "-accel", plan.accelerator ?? "tcg", "-cpu", CPU],
    ...["-global", "virtio-mmio.force-legacy=false"],
    ...["-smp", String(resources.vcpus), "-m", `${resources.memory / 1024}k`],
    ...["-chardev", `socket,id=monitor,path=${MONITOR},server=on,wait=off`],
    ...["-mon", "chardev=monitor,mode=control"],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-device", "isa-debug-exit,iobase=0x501,iosize=1", "-device", "pvpanic", "-action", "panic=pause"],
    ...["-trace", "enable=qemu_system_shutdown_request", "-trace", "enable=load_file", "-D", TRACE],
    ...(kernel ? ["-kernel", kernel.path, "-append", kernel.args] : []),
    ...(initrd ? ["-initrd", initrd.path] : []),
    ...onBuses(plan).flatMap((make, bus) => make(`virtio-mmio-bus.${bus}`)),
  ]
}

export function busesOf(plan: Plan): number {
  return onBuses(plan).length
}

/** Options of what is on one bus. A guest finds the first bus first. */
type OnBus = (bus: string) => readonly string[]

function onBuses(plan: Plan): readonly OnBus[] {
  const { disk, disks = [], firstBoot, volumes = [], devices = [], network, agent } = plan
  const raw = firstBoot ? [{ ...firstBoot, readOnly: true }, ...volumes] : volumes
  return [
    ...[...(disk ? [disk] : []), ...disks].map((one, index) => chained(one, `disk${index}`)),
    ...raw.map((one, index) => rawDisk(one, `raw${index}`)),
    ...devices.filter(({ type }) => type === "rng").map((_, index) => random(`rng${index}`)),
    ...(agent ? [agentPort] : []),
    ...(network ? [interfaceOf(network)] : []),
  ]
}

/** A node for each layer with its backing file said, so that no header is asked for one. */
function chained({ layers, overlay, ephemeral = false, name }: Disk, id: string): OnBus {
  const files = layers.map((layer) => ({ ...layer, access: { "read-only": true } as object }))
  if (overlay !== undefined) {
    const access = { "read-only": false, discard: "unmap", cache: { "no-flush": ephemeral } }
    files.push({ path: overlay, format: "qcow2", access })
  }
  const nodes = files.flatMap(({ path, format, access }, index) => {
    const [file, node] = [`${id}-file${index}`, `${id}-layer${index}`]
    const backing = format === "raw" ? {} : { backing: index > 0 ? `${id}-layer${index - 1}` : null }
    return [
      ...asJson("-blockdev", { driver: "file", filename: path, "node-name": file, ...access }),
      ...asJson("-blockdev", { driver: format, "node-name": node, file, ...access, ...backing }),
    ]
  })
  const drive = `${id}-layer${files.length - 1}`
  return (bus) => [...nodes, ...blockDevice({ bus, id, drive, serial: name }, overlay !== undefined)]
}

function rawDisk(
  { path, readOnly, serial }: { readonly path: string; readonly readOnly: boolean; readonly serial?: string },
  id: string,
): OnBus {
  const drive = `${id}-node`
  const node = { driver: "file", filename: path, "node-name": drive, "read-only": readOnly }
  return (bus) => [...asJson("-blockdev", node), ...blockDevice({ bus, id, drive, serial }, !readOnly)]
}

function blockDevice(named: object, writable: boolean): string[] {
  const errors = { werror: writable ? "stop" : "report", rerror: "stop" }
  return asJson("-device", { driver: "virtio-blk-device", ...named, ...errors })
}

function random(id: string): OnBus {
  return (bus) => [
    ...asJson("-object", { "qom-type": "rng-random", id, filename: "/dev/urandom" }),
    ...asJson("-device", { driver: "virtio-rng-device", rng: id, bus }),
  ]
}

const agentPort: OnBus = (bus) => [
  ...["-chardev", `socket,id=agent,path=${AGENT_SOCKET},server=on,wait=off`],
  ...asJson("-device", { driver: "virtio-serial-device", id: "agents", max_ports: 2, bus }),
  ...asJson("-device", {
    driver: "virtserialport",
    bus: "agents.0",
    chardev: "agent",
    name: "org.ovms.agent.0",
  }),
]

function interfaceOf({ mac, descriptor, frames }: NonNullable<Plan["network"]>): OnBus {
  const fd = String(descriptor)
  const carried =
    frames === "tap"
      ? { type: "tap", fd, vhost: false }
      : { type: "stream", server: false, addr: { type: "fd", str: fd } }
  const netdev = descriptor === undefined ? [] : asJson("-netdev", { id: "net", ...carried })
  const connected = descriptor === undefined ? {} : { netdev: "net" }
  return (bus) => [...netdev, ...asJson("-device", { driver: "virtio-net-device", mac, bus, ...connected })]
}
