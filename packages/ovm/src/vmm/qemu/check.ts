import type { DevicePlan, LaunchPlan, Unsupported } from "../plan.ts"
import type { Capabilities } from "../vmm.ts"
import { checkNetwork } from "./network.ts"
import { MOST_SERIAL } from "./serial.ts"
import { checkTpm } from "./tpm.ts"

const MiB = 2 ** 20
/** q35's bound without an interrupt remapping unit; TCG is slow long before. */
const MAX_VCPUS = 255
const MIN_MEMORY = 8 * MiB
const MAX_MEMORY = 2 ** 40
/** Of q35's root bus: 32 without those of the host bridge and of the chip set. */
const SLOTS = 30
/** Linux's COMMAND_LINE_SIZE on x86, with the closing NUL. */
const MAX_ARGS = 2047
const MIN_SHARED = 2 ** 12
/** What `devices` may ask for. */
const TYPES: readonly string[] = ["ivshmem", "rng", "serial"]
const MAX_SHARED = 2 ** 36

/**
 * Everything that QEMU cannot honour of `plan`, all at once (Vmm.check); `snapshot` are its devices, of a machine that
 * goes on.
 */
export function checkPlan(
  plan: LaunchPlan,
  found: Pick<Capabilities, "accelerators">,
  snapshot?: readonly string[],
): readonly Unsupported[] {
  return [
    ...accelerator(plan, found),
    ...resources(plan),
    ...boot(plan),
    ...arm(plan),
    ...slots(plan),
    ...plan.devices.flatMap((one, index) => [...device(one, index)]),
    ...serialPorts(plan),
    ...checkTpm(plan),
    ...checkNetwork(plan, snapshot),
  ]
}

function fatal(pointer: string, reason: string): Unsupported {
  return { pointer, severity: "fatal", reason }
}

function* accelerator(
  { accelerator }: LaunchPlan,
  { accelerators }: Pick<Capabilities, "accelerators">,
): Iterable<Unsupported> {
  if (accelerator === undefined || accelerators.includes(accelerator)) return
  yield fatal("/accelerator", `QEMU has ${accelerators.join(", ")} here, not ${JSON.stringify(accelerator)}`)
}

function* resources({ resources: { vcpus, memory } }: LaunchPlan): Iterable<Unsupported> {
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
    yield fatal("/resources/vcpus", `QEMU takes 1 to ${MAX_VCPUS} vCPUs, not ${vcpus}`)
  if (!Number.isInteger(memory) || memory < MIN_MEMORY || memory > MAX_MEMORY)
    yield fatal(
      "/resources/memory",
      `QEMU takes ${MIN_MEMORY} to ${MAX_MEMORY} bytes of memory, not ${memory}`,
    )
  else if (memory % MiB !== 0)
    yield fatal("/resources/memory", `${memory} bytes of memory are no multiple of 1 MiB`)
}

function* boot({ kernel, initrd, disk }: LaunchPlan): Iterable<Unsupported> {
  if (!kernel && !disk) yield fatal("/kernel", "there is neither a kernel nor a disk to boot from")
  if (!kernel && initrd) yield fatal("/initrd", "an initrd needs a kernel")
  if (!kernel) return
  if (/\p{Cc}/u.test(kernel.args))
    yield fatal("/kernel/args", "the kernel's arguments contain a control character")
  const length = Buffer.byteLength(kernel.args)
  if (length > MAX_ARGS)
    yield fatal(
      "/kernel/args",
      `the kernel's arguments have ${length} bytes, an x86 kernel reads ${MAX_ARGS}`,
    )
}

/** What machines for arm64 have not, or not yet. */
function* arm({ architecture, kernel, uefi, agent }: LaunchPlan): Iterable<Unsupported> {
  if (architecture !== "arm64") return
  if (!kernel && !uefi)
    yield fatal("/kernel", "QEMU's machine for arm64 has no BIOS: it boots a kernel, or by UEFI")
  if (agent) yield fatal("/agent", "the agent is a program for x86_64")
}

/** How many devices its bus has room for, and how many `plan` has. */
export function slotsOf(plan: LaunchPlan): { readonly all: number; readonly taken: number } {
  const { disk, disks = [], volumes = [], shares = [], firstBoot, network, agent, devices } = plan
  const single = [disk, firstBoot, network, agent].filter(Boolean).length
  const further = devices.filter((one) => one.type === "rng" || isSharedMemory(one)).length
  return { all: SLOTS, taken: single + disks.length + volumes.length + shares.length + further }
}

function* slots(plan: LaunchPlan): Iterable<Unsupported> {
  const { volumes = [], shares = [] } = plan
  const { taken } = slotsOf(plan)
  const pointer = taken - volumes.length - shares.length > SLOTS ? "/disks" : "volumes"
  if (taken > SLOTS)
    yield fatal(pointer, `QEMU's machine has room for ${SLOTS} disks and other devices, not ${taken}`)
}

function* device(plan: DevicePlan, index: number): Iterable<Unsupported> {
  const pointer = `/devices/${index}`
  const severity = plan.required ? "fatal" : "degraded"
  if (!TYPES.includes(plan.type)) {
    yield {
      pointer: `${pointer}/type`,
      severity,
      reason: `QEMU's adapter has no device of type ${JSON.stringify(plan.type)}`,
    }
    return
  }
  const reason = plan.type === "ivshmem" ? sharedMemoryFault(plan.size) : undefined
  if (reason) yield { pointer: `${pointer}/size`, severity, reason }
  if (plan.mmioAddr !== undefined)
    yield {
      pointer: `${pointer}/mmio_addr`,
      severity: "degraded",
      reason:
        plan.type === "serial"
          ? "a serial port has the address of its number"
          : "the guest assigns the address of a PCI device, so it cannot be promised",
    }
}

function* serialPorts({ devices }: LaunchPlan): Iterable<Unsupported> {
  const ports = devices.flatMap(({ type }, index) => (type === "serial" ? [index] : []))
  for (const index of ports.slice(MOST_SERIAL))
    yield {
      pointer: `/devices/${index}/type`,
      severity: devices[index]?.required ? "fatal" : "degraded",
      reason: `QEMU's machine has ${MOST_SERIAL} serial ports beside its console`,
    }
}

/** True for an ivshmem device that can be had. */
export function isSharedMemory({ type, size }: DevicePlan): boolean {
  return type === "ivshmem" && sharedMemoryFault(size) === undefined
}

/**
 * Why an ivshmem device of `size` bytes cannot be had; undefined if it can. Its memory is a PCI BAR, hence the power of
 * two.
 */
export function sharedMemoryFault(size: number | undefined): string | undefined {
  if (size === undefined) return "an ivshmem device needs a size"
  if (size < MIN_SHARED || size > MAX_SHARED || !Number.isInteger(Math.log2(size)))
    return `an ivshmem device has a power of two from ${MIN_SHARED} to ${MAX_SHARED} bytes, not ${size}`
  return undefined
}
