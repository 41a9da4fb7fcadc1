import { compare, type HostFacts, incompatible } from "../artifact/snapshot/compatibility.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { hostCpu } from "../host/cpu.ts"
import type { PreparedImage } from "../images/prepared.ts"
import type { Loader } from "../vmm/loader.ts"
import type { GuestModel, LaunchPlan, NetworkPlan } from "../vmm/plan.ts"
import type { Capabilities, Vmm } from "../vmm/vmm.ts"
import { furtherWritable, shownDisks } from "./disks.ts"
import { type LaunchRequest, planOf } from "./plan.ts"
import { boundsOf } from "./share.ts"

/** A snapshot that fits this host, and what it is resumed by. */
export interface Fit {
  readonly snapshot: Snapshot
  readonly vmm: Vmm
  readonly loader: Loader
  readonly capabilities: Capabilities
  /** Everything of the resume but the snapshot's files. */
  readonly plan: LaunchPlan
}

/** A snapshot of a machine. */
export interface Resumable {
  readonly image: PreparedImage
  readonly snapshot: Snapshot
  /** Bytes of the disk that its guest sees; needed where the request says how large that is to be. */
  readonly diskSize?: number
}

/**
 * Holds `snapshot` of the machine `image` against this host (spec/snapshot.md, "Compatibility"): the one place where
 * that is compared. Throws OVM_SNAPSHOT_INCOMPATIBLE or OVM_BASE_MISMATCH with every field that differs,
 * OVM_UNSUPPORTED, OVM_SNAPSHOT_INVALID, OVM_VMM_MISSING.
 */
export async function fitOf(
  vmms: readonly Vmm[],
  request: LaunchRequest,
  { image, snapshot, diskSize }: Resumable,
  call: Call,
): Promise<Fit> {
  const { snapshot: descriptor } = snapshot
  const what = `the snapshot ${snapshot.descriptor.digest}`
  const booting = bootingOf(request, image, descriptor)
  const vmm = vmms.find(({ name }) => name === descriptor.vmm.name)
  const loader = vmm?.loader
  const { vmm: asked = vmm?.name } = request.overrides
  if (!loader || asked !== vmm.name)
    throw incompatible(what, [
      { field: "/vmm/name", snapshot: descriptor.vmm.name, ...(asked !== undefined && { host: asked }) },
    ])
  const capabilities = await vmm.capabilities(call)
  const { overrides } = request
  const network = networkIn(request, loader.macIn(descriptor.devices))
  const { network: _, ...others } = booting
  const agent = loader.agentIn(descriptor.devices)
  if (overrides.agent && !agent) throw noAgent()
  const memory = overrides.memory ?? descriptor.resources.memory
  const plan: LaunchPlan = {
    ...others,
    ...(network && { network }),
    agent,
    resources: { vcpus: overrides.vcpus ?? descriptor.resources.vcpus, memory },
    bounds: boundsOf(overrides, request.defaults, memory),
    accelerator: acceleratorFor(descriptor, capabilities),
  }
  const model = await loader.model(plan, descriptor.devices)
  const shown = { ...model, cpu: cpuFor(descriptor, capabilities) ?? model.cpu }
  const facts = { ...factsOf(shown, plan, capabilities), base: image.base.digest }
  const wanted = overrides.diskSize
  const mismatches = compare(descriptor, facts)
  if (mismatches.length > 0) throw incompatible(what, mismatches)
  refuseOtherDisks(what, plan, descriptor)
  if (wanted !== diskSize)
    throw new OvmError(
      "OVM_SNAPSHOT_INCOMPATIBLE",
      `diskSize: the disk of ${what} has ${diskSize ?? 0} bytes, and a guest that goes on keeps what it has seen`,
      {
        detail: [{ field: "/overlays", snapshot: diskSize, host: wanted }],
        hint: "Boot it instead: --no-resume.",
      },
    )
  return { snapshot, vmm, loader, capabilities, plan }
}

/**
 * The plan with kernel and initrd, and the arguments that the machine was started with, where its guest may still read
 * them, else without (OVMS-SNP-132).
 */
function bootingOf(request: LaunchRequest, image: PreparedImage, { boot }: SnapshotDescriptor): LaunchPlan {
  for (const name of ["args", "config", "ssh", "volumes", "shares", "exec"] as const)
    if (request.overrides[name] !== undefined)
      throw new OvmError("OVM_UNSUPPORTED", `${name}: a machine that is resumed has booted already`, {
        detail: [{ pointer: name, reason: "the machine is resumed" }],
      })
  // How large the disk is was fixed when the machine booted, and is compared with the rest.
  const { diskSize: _, ...overrides } = request.overrides
  const { kernel, initrd, ...plan } = planOf({ ...request, overrides }, image)
  if (!boot) return plan
  if (!kernel)
    throw new OvmError(
      "OVM_SNAPSHOT_INVALID",
      `${image.reference}: the snapshot's guest still reads a kernel, and its base has none [OVMS-SNP-133]`,
      { detail: { requirement: "OVMS-SNP-133" } },
    )
  return { ...plan, kernel: { ...kernel, args: boot.args }, ...(initrd && { initrd }) }
}

/** A guest that went on with disks of two instants would take them for damaged (OVMS-SNP-178). */
function refuseOtherDisks(what: string, plan: LaunchPlan, { disks = [] }: SnapshotDescriptor): void {
  const [named, writable] = [disks.map(({ name }) => name), furtherWritable(shownDisks(plan))]
  const other = [
    ...writable.filter((name) => !named.includes(name)),
    ...named.filter((name) => !writable.includes(name)),
  ]
  if (other.length === 0) return
  const lacks = writable.includes(other[0] ?? "") ? "has not what was" : "has what could not be"
  throw new OvmError(
    "OVM_SNAPSHOT_INVALID",
    `${what} ${lacks} written to the machine's disk ${other[0]} [OVMS-SNP-178]`,
    { detail: { requirement: "OVMS-SNP-178" } },
  )
}

/** What the guest's interface is connected to, if it has one: what it cannot have is refused (OVMS-SNP-162). */
function networkIn({ network }: LaunchRequest, mac: string | undefined): NetworkPlan | undefined {
  if (network?.bridge)
    throw new OvmError(
      "OVM_UNSUPPORTED",
      "network.name: a clone keeps its snapshot's MAC address, which a network of the host has once [OVMS-NET-011]",
      {
        detail: [{ pointer: "network/name", reason: "the machine is resumed" }],
        hint: "Boot it instead: --no-resume; or leave out --network, for one of its own.",
      },
    )
  if (network && mac !== undefined) return { ...network, mac }
  if (network && network.forwards.length > 0)
    throw new OvmError(
      "OVM_UNSUPPORTED",
      "network: the snapshot's machine has no interface for ports to lead to",
      {
        detail: [{ pointer: "network/ports", reason: "the snapshot has no network interface" }],
      },
    )
  return undefined
}

function noAgent(): OvmError {
  return new OvmError("OVM_UNSUPPORTED", "agent: the snapshot's machine has no way to an agent", {
    detail: [{ pointer: "agent", reason: "the snapshot is of a machine without one" }],
  })
}

/** The snapshot's own where this host has it, as it has emulation; else what this host has, which will not fit. */
function acceleratorFor({ vmm }: SnapshotDescriptor, found: Capabilities): string {
  return found.accelerators.includes(vmm.accelerator) ? vmm.accelerator : found.accelerator
}

/** The snapshot's own where an earlier version emulated that: it can be emulated still. */
function cpuFor({ vmm }: SnapshotDescriptor, { snapshots }: Capabilities): string | undefined {
  const before = vmm.accelerator === "tcg" ? snapshots?.emulatedBefore : undefined
  return before?.find((cpu) => cpu === vmm.cpuModel)
}

function factsOf(model: GuestModel, plan: LaunchPlan, found: Capabilities): HostFacts {
  const { architecture, ...host } = hostCpu()
  const { format, cpu, vcpus, memory, devices } = model
  return {
    architecture,
    host,
    vmm: {
      name: found.name,
      version: found.version,
      format,
      machine: found.snapshots?.machineTypes ?? [],
      accelerator: plan.accelerator ?? found.accelerator,
      cpuModel: cpu,
    },
    resources: { vcpus, memory },
    devices,
  }
}
