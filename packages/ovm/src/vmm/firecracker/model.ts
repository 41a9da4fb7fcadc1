import type { GuestModel, LaunchPlan } from "../plan.ts"
import { type FirecrackerCapabilities, MACHINE_TYPE } from "./capabilities.ts"
import { interfaceIn, interfaceOf } from "./network.ts"
import { vsockDevices } from "./vsock.ts"

/** What a guest sees of the disk that tells it of its first boot (spec/first-boot.md): its size in bytes. */
const FIRST_BOOT = /^virtio-blk,first-boot,size=([1-9]\d{0,8})$/

/** Bytes of that disk, if the machine has one. */
export function firstBootSizeIn(devices: readonly string[]): number | undefined {
  const size = devices.map((device) => FIRST_BOOT.exec(device)?.[1]).find(Boolean)
  return size === undefined ? undefined : Number(size)
}

/** Loader.model of Firecracker: everything that a guest can see of the machine that is made of `plan`. */
export function modelOfFirecracker(
  plan: LaunchPlan,
  { snapshotFormat }: Pick<FirecrackerCapabilities, "snapshotFormat">,
  snapshot?: readonly string[],
): GuestModel {
  const { resources, disk, disks = [], volumes = [] } = plan
  const access = (writable: boolean) => (writable ? "" : ",read-only")
  const firstBoot = plan.firstBoot?.size ?? firstBootSizeIn(snapshot ?? [])
  return {
    format: snapshotFormat,
    machineType: MACHINE_TYPE,
    // KVM passes the host's processor on.
    cpu: "host",
    vcpus: resources.vcpus,
    memory: resources.memory,
    devices: [
      ...["serial", "i8042", "vmgenid"],
      ...(disk ? [`virtio-blk${access(disk.writable)}`] : []),
      ...disks.map(({ name, overlay }) => `virtio-blk,disk=${name}${access(overlay !== undefined)}`),
      ...(firstBoot === undefined ? [] : [`virtio-blk,first-boot,size=${firstBoot}`]),
      ...volumes.map(({ readOnly }) => `virtio-blk,volume${access(!readOnly)}`),
      ...(snapshot ? interfaceIn(snapshot) : interfaceOf(plan)),
      "virtio-rng",
      ...vsockDevices(plan, snapshot),
    ],
  }
}
