import { closeSync, openSync } from "node:fs"
import { join } from "node:path"
import type { MachineDevice } from "../machine.ts"
import type { DevicePlan, LaunchPlan } from "../plan.ts"
import { isSharedMemory } from "./check.ts"
import { asJson } from "./options.ts"
import { MOST_SERIAL, serialArguments, serialModel, serialSocket } from "./serial.ts"

/** In a model: a source of entropy (spec/devices.md). */
const RANDOM = "virtio-rng-pci"

/** A device that the machine gets. */
interface Given {
  readonly device: DevicePlan
  /** As in a model. */
  readonly model: string
  /** The part of the command line. */
  readonly options: readonly string[]
  /** What the host has of it, in the instance's directory. */
  readonly file?: string
}

/**
 * Those of a manifest's devices that the machine gets: what check found fatal never comes so far, what it found
 * degraded is left out. A guest that goes on from a snapshot without a source of entropy, or a serial port, does
 * without (OVMS-SNP-140).
 */
function given({ devices }: LaunchPlan, snapshot?: readonly string[]): readonly Given[] {
  const all: Given[] = []
  let ports = 0
  for (const device of devices) {
    const one = device.type === "serial" ? serial(device, ++ports) : further(device, all.length)
    const isThere = !snapshot || device.type === "ivshmem" || snapshot.includes(one?.model ?? "")
    if (one && isThere) all.push(one)
  }
  return all
}

function serial(device: DevicePlan, port: number): Given | undefined {
  if (port > MOST_SERIAL) return undefined
  const { name } = device
  return { device, model: serialModel(port), options: serialArguments(name, port), file: serialSocket(name) }
}

/** `index`: among the devices that the machine has. */
function further(device: DevicePlan, index: number): Given | undefined {
  if (device.type === "rng") return { device, model: RANDOM, options: random(index) }
  return isSharedMemory(device) ? sharedMemory(device, index) : undefined
}

/** As in a model; `snapshot` are the devices of a machine that goes on. */
export function furtherDevices(plan: LaunchPlan, snapshot?: readonly string[]): readonly string[] {
  return given(plan, snapshot).map(({ model }) => model)
}

/** The part of the command line. */
export function deviceArguments(plan: LaunchPlan, model: readonly string[]): string[] {
  return given(plan, model).flatMap(({ options }) => options)
}

/** MachineRecord.devices of a machine with that model. */
export function devicesOf(plan: LaunchPlan, model: readonly string[]): readonly MachineDevice[] {
  return given(plan, model).map(({ device: { type, name, size }, file }) => ({
    type,
    name,
    ...(type === "ivshmem" && size !== undefined && { size }),
    ...(file !== undefined && { file }),
  }))
}

function random(index: number): string[] {
  const id = `rng${index}`
  return [
    ...asJson("-object", { "qom-type": "rng-random", id, filename: "/dev/urandom" }),
    ...asJson("-device", { driver: RANDOM, rng: id }),
  ]
}

/** Makes the files of a new machine's shared memory, where they are not there, for their user alone: QEMU would not. */
export function makeSharedMemory(plan: LaunchPlan): void {
  for (const { device, file } of given(plan))
    if (device.type === "ivshmem" && file !== undefined)
      closeSync(openSync(join(plan.directory, file), "a", 0o600))
}

function sharedMemory(device: DevicePlan, index: number): Given {
  const { size } = device
  const [id, file] = [`shm${index}`, `shm${index}.ram`]
  const memory = { "qom-type": "memory-backend-file", id, size, "mem-path": file, share: true }
  const options = [
    ...asJson("-object", memory),
    // Peers without a master block migration, and so snapshots.
    ...asJson("-device", { driver: "ivshmem-plain", memdev: id, master: "on" }),
  ]
  return { device, model: `ivshmem-plain,size=${size}`, options, file }
}
