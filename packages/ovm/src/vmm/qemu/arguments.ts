import type { DevicePlan, DiskLayer, GuestModel, LaunchPlan, VolumePlan } from "../plan.ts"
import { isSharedMemory } from "./check.ts"
import { firstBootSize, PVPANIC, RAM_ID } from "./model.ts"
import { networkArguments } from "./network.ts"
import { QMP_SOCKET } from "./qmp.ts"
import { TRACE_ARGUMENTS } from "./trace.ts"

export interface QemuOptions {
  readonly accelerator: string
  readonly model: GuestModel
  /** A UUID. */
  readonly generationId: string
  /** A file with the RAM of a snapshot, mapped copy on write; the guest then waits for its state. */
  readonly ram?: string
  /** All memory of the process, once it is there. */
  readonly lockMemory?: boolean
  /** The qcow2 on top of the disk's layers; absent for a machine that cannot write. */
  readonly overlay?: string
}

/**
 * The command line for `plan`, without the program's name. Pure. Strings of a manifest come in as whole arguments
 * (kernel command line) or inside JSON (paths), where neither comma nor quote means anything; check.ts has refused NUL,
 * which no argument can hold. QEMU runs in the instance's directory, so that the names of its own files are fixed and
 * short.
 */
export function qemuArguments(plan: LaunchPlan, options: QemuOptions): string[] {
  const { accelerator, model, generationId, ram, lockMemory } = options
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // The guest stays stopped until the monitor listens, so that no event is missed.
    "-S",
    ...["-machine", `${model.machineType},${MACHINE},memory-backend=${RAM_ID}`],
    // What code is translated into is a gigabyte unless told, and would all be locked.
    ...["-accel", lockMemory && accelerator === "tcg" ? "tcg,tb-size=128" : accelerator],
    ...["-cpu", model.cpu],
    ...["-smp", String(model.vcpus)],
    ...["-m", `${model.memory / 1024}k`],
    ...json("-object", memory(model.memory, ram)),
    ...(lockMemory ? ["-overcommit", "mem-lock=on"] : []),
    ...["-chardev", `socket,id=qmp,path=${QMP_SOCKET},server=on,wait=off`],
    ...["-mon", "chardev=qmp,mode=control"],
    ...["-chardev", "stdio,id=console,signal=off"],
    ...json("-device", { driver: "isa-serial", chardev: "console" }),
    ...json("-device", { driver: "vmgenid", guid: generationId }),
    ...(model.devices.includes(PVPANIC) ? json("-device", { driver: PVPANIC }) : []),
    // A guest that has panicked stands still until it was seen, by the next daemon if need be: machine.ts ends it then.
    ...["-action", "panic=pause"],
    ...TRACE_ARGUMENTS,
    ...boot(plan),
    ...(ram === undefined ? [] : ["-incoming", "defer"]),
    ...disk(plan, options.overlay),
    // What check found fatal never comes so far; what it found degraded is left out.
    ...plan.devices.filter(isSharedMemory).flatMap(sharedMemory),
    ...firstBoot(plan, model),
    ...(plan.volumes ?? []).flatMap(volume),
    ...networkArguments(plan, model.devices).flatMap(([option, value]) => json(option, value)),
  ]
}

const MACHINE = "vmport=off,usb=off,sata=off,smbus=off,dump-guest-core=off"

/** The backend's id is part of a snapshot, its type is not (docs/design/0014-qemu-snapshots.md). */
function memory(size: number, path: string | undefined): Record<string, unknown> {
  if (path === undefined) return { "qom-type": "memory-backend-ram", id: RAM_ID, size }
  return { "qom-type": "memory-backend-file", id: RAM_ID, size, "mem-path": path, share: false }
}

function boot({ kernel, initrd }: LaunchPlan): string[] {
  if (!kernel) return []
  const files = initrd ? ["-initrd", initrd.path] : []
  return ["-kernel", kernel.path, ...files, "-append", kernel.args]
}

/**
 * One node a layer, each with an explicit backing node, the bottom with none: what a header claims is never opened
 * (CVE-2024-32498), and the read-only files keep their digests.
 */
function disk({ disk }: LaunchPlan, overlay: string | undefined): string[] {
  if (!disk) return []
  const layers: (DiskLayer & { readonly writable?: true })[] = [...disk.layers]
  if (overlay !== undefined) layers.push({ path: overlay, format: "qcow2", writable: true })
  const nodes = layers.flatMap((layer, index) => {
    const { format, writable } = layer
    const access = { "read-only": !writable, ...(writable ? writes(disk.ephemeral) : {}) }
    const backing = format === "raw" ? {} : { backing: index === 0 ? null : node(index - 1) }
    return [
      ...json("-blockdev", { ...bytesOf(layer), "node-name": `file${index}`, ...access }),
      ...json("-blockdev", {
        driver: format,
        "node-name": node(index),
        file: `file${index}`,
        ...access,
        ...backing,
      }),
    ]
  })
  const top = node(layers.length - 1)
  // A write to a disk that is read-only is the guest's own fault.
  const onError = overlay === undefined ? { ...ON_ERROR, werror: "report" } : ON_ERROR
  return [...nodes, ...json("-device", { driver: "virtio-blk-pci", id: "disk", drive: top, ...onError })]
}

/** One that is resumed has read it: it sees as many zeros (OVMS-FBC-007). */
function firstBoot({ firstBoot }: LaunchPlan, { devices }: GuestModel): string[] {
  const size = firstBootSize(devices)
  if (size === undefined) return []
  const source = firstBoot
    ? { driver: "file", filename: firstBoot.path }
    : { driver: "null-co", size, "read-zeroes": true }
  const node = "first-boot"
  return [
    ...json("-blockdev", { ...source, "node-name": node, "read-only": true }),
    ...json("-device", { driver: "virtio-blk-pci", id: node, drive: node }),
  ]
}

/** QEMU locks the file: where nobody else saw to it, a second machine does not start. */
function volume({ path, serial, readOnly }: VolumePlan, index: number): string[] {
  const node = `volume${index}`
  const access = readOnly ? { "read-only": true } : { "read-only": false, discard: "unmap" }
  const file = { driver: "file", filename: path, locking: "on", "node-name": `${node}-file`, ...access }
  const onError = readOnly ? { ...ON_ERROR, werror: "report" } : ON_ERROR
  return [
    ...json("-blockdev", file),
    ...json("-blockdev", { driver: "raw", "node-name": node, file: `${node}-file`, ...access }),
    ...json("-device", { driver: "virtio-blk-pci", id: node, drive: node, serial, ...onError }),
  ]
}

/** Where the bytes of a layer come from, for QEMU's protocol driver. */
function bytesOf(layer: DiskLayer): Record<string, unknown> {
  if ("path" in layer) return { driver: "file", filename: layer.path }
  return { driver: "nbd", server: { type: "unix", path: layer.socket }, export: layer.export }
}

/**
 * How the nodes of a disk that the guest writes to are opened. What an `ephemeral` machine writes is not brought to the
 * host's disk when its guest asks for that, nor in the pause of a snapshot, which stores a copy that is
 * (docs/design/0023).
 */
export function writes(ephemeral = false) {
  return { discard: "unmap", cache: { "no-flush": ephemeral } } as const
}

/**
 * What the host cannot do has the guest stand still, with the request kept, rather than be told of a broken disk:
 * whoever makes room has it go on as if nothing had been.
 */
const ON_ERROR = { werror: "stop", rerror: "stop" } as const

const node = (index: number) => `layer${index}`

function sharedMemory({ size }: DevicePlan, index: number): string[] {
  const id = `shm${index}`
  const memory = { "qom-type": "memory-backend-file", id, size, "mem-path": `${id}.ram`, share: true }
  return [
    ...json("-object", memory),
    // Peers without a master block migration, and so snapshots.
    ...json("-device", { driver: "ivshmem-plain", memdev: id, master: "on" }),
  ]
}

const json = (option: string, value: Record<string, unknown>) => [option, JSON.stringify(value)]
