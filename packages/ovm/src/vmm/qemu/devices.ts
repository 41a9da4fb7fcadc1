import { closeSync, openSync } from "node:fs"
import { join } from "node:path"
import type { DevicePlan, LaunchPlan } from "../plan.ts"
import { isSharedMemory } from "./check.ts"
import { asJson } from "./options.ts"

/** In a model: a source of entropy (spec/devices.md). */
const RANDOM = "virtio-rng-pci"

/**
 * Those of a manifest's devices that the machine gets: what check found fatal never comes so far, what it found
 * degraded is left out. A guest that goes on from a snapshot without a source of entropy does without (OVMS-SNP-140).
 */
function given({ devices }: LaunchPlan, model?: readonly string[]): readonly DevicePlan[] {
  const random = !model || model.includes(RANDOM)
  return devices.filter((one) => (one.type === "rng" ? random : isSharedMemory(one)))
}

/** As in a model; `snapshot` are the devices of a machine that goes on. */
export function furtherDevices(plan: LaunchPlan, snapshot?: readonly string[]): readonly string[] {
  return given(plan, snapshot).map(({ type, size }) =>
    type === "rng" ? RANDOM : `ivshmem-plain,size=${size}`,
  )
}

/** The part of the command line. */
export function deviceArguments(plan: LaunchPlan, model: readonly string[]): string[] {
  return given(plan, model).flatMap((device, index) =>
    device.type === "rng" ? random(index) : sharedMemory(device, index),
  )
}

function random(index: number): string[] {
  const id = `rng${index}`
  return [
    ...asJson("-object", { "qom-type": "rng-random", id, filename: "/dev/urandom" }),
    ...asJson("-device", { driver: RANDOM, rng: id }),
  ]
}

const sharedFile = (index: number) => `shm${index}.ram`

/** Makes the files of a new machine's shared memory, where they are not there, for their user alone: QEMU would not. */
export function makeSharedMemory(plan: LaunchPlan): void {
  for (const [index, { type }] of given(plan).entries())
    if (type !== "rng") closeSync(openSync(join(plan.directory, sharedFile(index)), "a", 0o600))
}

function sharedMemory({ size }: DevicePlan, index: number): string[] {
  const id = `shm${index}`
  const memory = { "qom-type": "memory-backend-file", id, size, "mem-path": sharedFile(index), share: true }
  return [
    ...asJson("-object", memory),
    // Peers without a master block migration, and so snapshots.
    ...asJson("-device", { driver: "ivshmem-plain", memdev: id, master: "on" }),
  ]
}
