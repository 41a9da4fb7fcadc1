import type { LaunchPlan, Unsupported } from "../plan.ts"
import { drivesOf, FIRST } from "./drives.ts"
import { networkFault } from "./network.ts"
import { storageFault } from "./storage.ts"

const MiB = 2 ** 20
const MAX_VCPUS = 32
const MIN_MEMORY = 8 * MiB
const MAX_MEMORY = 2 ** 40
/** Linux's COMMAND_LINE_SIZE on x86 with the closing NUL, and what Firecracker adds. */
const MAX_ARGS = 1900
/** It has interrupts for 17 devices, of which a network, a vsock and the source of entropy have one each. */
const MOST_DISKS = 14
const KNOWN = new Set(["rng", "vsock"])

interface Here {
  /** Whether the machine is to be in a jail. */
  readonly jailed?: boolean
  /** Why this host cannot show a disk as the one raw file that Firecracker takes. */
  readonly fault?: () => string | undefined
}

/** Everything that Firecracker cannot honour of `plan`, all at once (Vmm.check; spec/runtimes/firecracker.md). */
export function checkFirecracker(plan: LaunchPlan, here: Here = {}): readonly Unsupported[] {
  return [...resources(plan), ...boot(plan), ...disk(plan, here), ...lacking(plan), ...devices(plan)]
}

function fatal(pointer: string, reason: string): Unsupported {
  return { pointer, severity: "fatal", reason }
}

function* resources({ accelerator, resources: { vcpus, memory } }: LaunchPlan): Iterable<Unsupported> {
  if (accelerator !== undefined && accelerator !== "kvm")
    yield fatal("/accelerator", `Firecracker has kvm, not ${JSON.stringify(accelerator)}`)
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS)
    yield fatal("/resources/vcpus", `Firecracker takes 1 to ${MAX_VCPUS} vCPUs, not ${vcpus}`)
  if (!Number.isInteger(memory) || memory < MIN_MEMORY || memory > MAX_MEMORY)
    yield fatal(
      "/resources/memory",
      `Firecracker takes ${MIN_MEMORY} to ${MAX_MEMORY} bytes of memory, not ${memory}`,
    )
  else if (memory % MiB !== 0)
    yield fatal("/resources/memory", `${memory} bytes of memory are no multiple of 1 MiB`)
}

function* boot({ kernel }: LaunchPlan): Iterable<Unsupported> {
  if (!kernel) {
    yield fatal("/kernel", "Firecracker has no firmware: it boots a kernel alone, and the machine has none")
    return
  }
  if (/[^\x20-\x7e]/.test(kernel.args))
    yield fatal("/kernel/args", "Firecracker takes printable ASCII alone as the kernel's arguments")
  if (kernel.args.length > MAX_ARGS)
    yield fatal(
      "/kernel/args",
      `the kernel's arguments have ${kernel.args.length} bytes, Firecracker takes ${MAX_ARGS}`,
    )
}

/** Disks that guests know by a serial number elsewhere are found by their place here (OVMS-API-515). */
function* disk(plan: LaunchPlan, { jailed, fault = storageFault }: Here): Iterable<Unsupported> {
  const { disks = [], volumes = [] } = plan
  const drives = drivesOf(plan, { jailed })
  if (drives.length > MOST_DISKS)
    yield fatal(
      "/disks",
      `Firecracker takes ${MOST_DISKS} disks, volumes and first boot included, not ${drives.length}`,
    )
  const reason = drives.some(({ shown }) => shown) ? fault() : undefined
  for (const { id, shown } of reason === undefined ? [] : drives)
    if (shown) yield fatal(pointerOf(id), reason ?? "")
  const place = (id: string) => {
    const at = drives.findIndex((drive) => drive.id === id)
    return `Firecracker gives disks no serial number: the guest finds it as its disk ${at + 1} (Linux: ${nameOf(at)})`
  }
  for (const [at, { name }] of disks.entries())
    yield { pointer: `/disks/${at}`, severity: "degraded", reason: `${name}: ${place(`disk${at + 1}`)}` }
  for (const [at, { serial }] of volumes.entries())
    yield { pointer: `volumes/${at}`, severity: "degraded", reason: `${serial}: ${place(`volume${at + 1}`)}` }
}

function pointerOf(id: string): string {
  if (id === FIRST) return "/diskLayers"
  const index = Number(/\d+$/.exec(id)?.[0]) - 1
  return id.startsWith(FIRST) ? `/disks/${index}` : `volumes/${index}`
}

function nameOf(at: number): string {
  return `/dev/vd${String.fromCharCode("a".charCodeAt(0) + at)}`
}

function* lacking(plan: LaunchPlan): Iterable<Unsupported> {
  const { shares = [], ignition, network, uefi, tpm } = plan
  if (uefi) yield fatal("/metadata/platform/uefi", "Firecracker has no firmware")
  if (tpm) yield fatal("/metadata/platform/tpm", "Firecracker has no TPM")
  if (shares.length > 0) yield fatal("shares", "Firecracker has no folders of the host")
  if (ignition) yield fatal("config/ignition", "Firecracker has no fw_cfg")
  const reason = network?.mode === "user" ? networkFault() : undefined
  if (reason !== undefined) yield fatal("/network", `Firecracker has no network of its own here: ${reason}`)
}

function* devices(plan: LaunchPlan): Iterable<Unsupported> {
  let sockets = 0
  for (const [index, { type, required, mmioAddr }] of plan.devices.entries()) {
    const pointer = `/devices/${index}`
    const isSecond = type === "vsock" && ++sockets > 1
    // Each of its machines has a source of entropy.
    if (isSecond || !KNOWN.has(type))
      yield {
        pointer: `${pointer}/type`,
        severity: required ? "fatal" : "degraded",
        reason: isSecond
          ? 'a machine has one device of type "vsock" [OVMS-DEV-031]'
          : `Firecracker has no device of type ${JSON.stringify(type)}`,
      }
    else if (mmioAddr !== undefined)
      yield {
        pointer: `${pointer}/mmio_addr`,
        severity: "degraded",
        reason: "Firecracker chooses the addresses of its devices",
      }
  }
}
