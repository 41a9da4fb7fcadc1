import type { GuestModel, LaunchPlan } from "../plan.ts"
import { agentDevices } from "./agent.ts"
import { type Board, boardOf } from "./board.ts"
import type { QemuCapabilities } from "./capabilities.ts"
import { furtherDevices } from "./devices.ts"
import { flashDevices } from "./flashes.ts"
import { networkDevices, networkOf } from "./network.ts"
import { RESULT_DEVICE } from "./result.ts"
import { tpmDevices } from "./tpm.ts"

/** QEMU's migration stream split by us (docs/design/0014-qemu-snapshots.md). */
export const SNAPSHOT_FORMAT = "qemu-split-1"

/** Id of the guest's RAM, and so the name of its block in every snapshot. */
export const RAM_ID = "ram0"

/** KVM passes the host's processor on. */
const cpuUnder = (accelerator: string, { emulated }: Board) => (accelerator === "tcg" ? emulated : "host")

/**
 * By which a guest's kernel says that it has panicked (QEMU: docs/specs/pvpanic). An ISA device: it takes no slot of
 * the PCI bus from another one, has no state, and is found by kernels of all ages.
 */
export const PVPANIC = "pvpanic"

/** What a guest sees of the disk that tells it of its first boot (spec/first-boot.md): its size in bytes. */
const FIRST_BOOT = /^virtio-blk-pci,first-boot,size=([1-9]\d{0,8})$/

/** Bytes of that disk, if the machine has one. */
export function firstBootSize(devices: readonly string[]): number | undefined {
  const size = devices.map((device) => FIRST_BOOT.exec(device)?.[1]).find(Boolean)
  return size === undefined ? undefined : Number(size)
}

/**
 * Loader.model of QEMU: everything that a guest can see of the machine that arguments.ts makes of `plan`. A snapshot of
 * before there was a pvpanic, or a port for results, is gone on from without: its own devices are `snapshot`, and so is
 * its network, or none.
 */
export function modelOf(
  plan: LaunchPlan,
  found: Pick<QemuCapabilities, "accelerator" | "machineType">,
  snapshot?: readonly string[],
): GuestModel {
  const { resources, disk } = plan
  const board = boardOf(plan)
  const firstBoot = plan.firstBoot?.size ?? firstBootSize(snapshot ?? [])
  const { disks = [], volumes = [], shares = [] } = plan
  const drive = disk && (disk.writable ? "virtio-blk-pci" : "virtio-blk-pci,read-only")
  return {
    format: SNAPSHOT_FORMAT,
    machineType: found.machineType,
    cpu: cpuUnder(plan.accelerator ?? found.accelerator, board),
    vcpus: resources.vcpus,
    memory: resources.memory,
    devices: [
      ...board.devices,
      ...flashDevices(plan),
      ...tpmDevices(plan),
      ...[PVPANIC, RESULT_DEVICE].filter((device) => (snapshot ? snapshot.includes(device) : board.serial)),
      ...(drive ? [drive] : []),
      ...disks.map(
        ({ name, overlay }) => `virtio-blk-pci,disk=${name}${overlay === undefined ? ",read-only" : ""}`,
      ),
      ...furtherDevices(plan, snapshot),
      ...(firstBoot === undefined ? [] : [`virtio-blk-pci,first-boot,size=${firstBoot}`]),
      ...volumes.map(({ readOnly }) => `virtio-blk-pci,volume${readOnly ? ",read-only" : ""}`),
      ...shares.map(({ readOnly }) => `virtio-9p-pci,share${readOnly ? ",read-only" : ""}`),
      ...(snapshot ? networkOf(snapshot) : networkDevices(plan)),
      ...agentDevices(plan, snapshot),
    ],
  }
}
