import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { Images } from "../images/images.ts"
import type { PreparedDisk, PreparedImage, PreparedSnapshot } from "../images/prepared.ts"
import type { ChosenPorts } from "../network/chosen-ports.ts"
import type { Loaded } from "../vmm/loader.ts"
import type { Machine } from "../vmm/machine.ts"
import type {
  DevicePlan,
  FurtherDiskPlan,
  LaunchPlan,
  NetworkPlan,
  SharePlan,
  UefiPlan,
  VolumePlan,
} from "../vmm/plan.ts"
import type { Capabilities, Vmm } from "../vmm/vmm.ts"
import { furtherOverlay, ownVariables } from "./disks.ts"
import type { Overrides } from "./interfaces.ts"
import type { Defaults, Limits } from "./limits.ts"
import type { Lineage } from "./record.ts"
import type { Claims } from "./resumed-once.ts"
import { boundsOf } from "./share.ts"
import type { Addresses } from "./shared-network.ts"
import { tpmState } from "./tpm.ts"
import type { VolumeStore } from "./volumes.ts"

/** Where a machine is going to live, and what was said of it. */
export interface LaunchRequest {
  readonly id: string
  /** The instance's own directory. */
  readonly directory: string
  readonly overrides: Overrides
  /** Bound on the kept console output, in bytes. */
  readonly consoleLimit: number
  /** Of a machine that was put aside: it is one life, and has one console. */
  readonly consoleGoesOn?: boolean
  /** For what neither the manifest nor the overrides say. */
  readonly defaults: Defaults
  /** Disks that outlive the machine. */
  readonly volumes?: readonly VolumePlan[]
  /** Folders of the host, known with the network. */
  readonly shares?: readonly SharePlan[]
  /** Known once the image is. */
  readonly network?: NetworkPlan
  /** Of a machine that is started again: what its guest wrote to. */
  readonly overlay?: string
  /** The same of further disks, by name, where it is in no file of theirs that disks.ts names. */
  readonly furtherOverlays?: ReadonlyMap<string, string>
}

/** What plans are made with. */
export interface PlanContext {
  readonly root: string
  readonly images: Images
  readonly vmms: readonly Vmm[]
  readonly volumes: VolumeStore
  readonly addresses: Addresses
  readonly chosenPorts: ChosenPorts
  readonly limits: Limits
  readonly defaults: Defaults
  /** Where the plan is for a start; absent where it is for a slot, which resumes nothing yet. */
  readonly claims?: Claims
}

/** What is going to be done, by which VMM: everything was checked, and nothing is started. */
export interface Planned {
  readonly image: PreparedImage
  /** The snapshot that it goes on from; absent for a machine that boots. */
  readonly snapshot?: PreparedSnapshot
  /** Of a machine that is started again: what was written since its image. */
  readonly written?: Pick<Lineage, "overlays" | "disks">
  /** Of a machine that goes on from an instant of a running one: what its lineage has for as long as it lives. */
  readonly alive?: Pick<Lineage, "parent" | "parentRam" | "policy"> & { readonly live: true }
  readonly capabilities: Capabilities
  readonly plan: LaunchPlan
  /** What will not be as the manifest says, in words. */
  readonly warnings: readonly string[]
  /** Of a snapshot that may be resumed once: lets another start have it, once this one is over. */
  release?(): void
  /** Of a machine that resumes: the first half of `go`, up to the one command that is left. */
  load?(call: Call): Promise<Loaded>
  /** Boots or resumes the machine. */
  go(call: Call): Promise<Machine>
}

/** An override wins over the manifest, the manifest over the defaults (spec/manifest.md, "resources"). */
export function resourcesOf(
  image: PreparedImage | undefined,
  overrides: Overrides,
  defaults: Defaults,
): LaunchPlan["resources"] {
  const wanted = image?.manifest.resources
  return {
    vcpus: overrides.vcpus ?? wanted?.vcpus ?? defaults.vcpus,
    memory: overrides.memory ?? wanted?.memory ?? defaults.memory,
  }
}

/** Bytes of the disk that the guest sees. Throws OVM_UNSUPPORTED for what it cannot be (OVMS-API-271). */
function diskSizeOf({ diskSize, readOnly }: Overrides, { reference, virtualSize }: PreparedImage): number {
  if (diskSize === undefined || diskSize === virtualSize) return virtualSize
  const why =
    virtualSize === 0
      ? `${reference} has no disk that could be larger`
      : diskSize < virtualSize
        ? `${diskSize} bytes are less than the ${virtualSize} of the disk of ${reference}, and no disk shrinks`
        : readOnly && "a disk that is only read stays as large as it is"
  if (!why) return diskSize
  throw new OvmError("OVM_UNSUPPORTED", `diskSize: ${why}`, {
    detail: [{ pointer: "diskSize", reason: why }],
  })
}

/** Throws OVM_UNSUPPORTED for a machine that its own TPM keeps from being put aside (OVMS-UEF-034). */
function refuseStandby({ standbyAfter }: Overrides, { manifest }: PreparedImage): void {
  if (standbyAfter === undefined || !manifest.metadata?.platform?.tpm) return
  throw new OvmError("OVM_UNSUPPORTED", "standbyAfter: a machine with a TPM is not put on standby", {
    detail: [{ pointer: "standbyAfter", reason: "the machine has a TPM" }],
  })
}

/**
 * What a VMM is to be told to do for this image: pure. Throws OVM_UNSUPPORTED, OVM_REQUEST_INVALID.
 */
export function planOf(request: LaunchRequest, image: PreparedImage): LaunchPlan {
  const {
    id,
    directory,
    overrides,
    consoleLimit,
    consoleGoesOn = false,
    defaults,
    network,
    overlay,
    volumes = [],
    shares = [],
  } = request
  const { manifest, kernel, initrd, layers } = image
  refuseAlike(image, volumes)
  refuseStandby(overrides, image)
  const diskSize = diskSizeOf(overrides, image)
  if (overrides.args !== undefined && !kernel)
    throw new OvmError("OVM_UNSUPPORTED", `args: ${image.reference} has no kernel that could take them`, {
      detail: [{ pointer: "args", reason: "the image has no kernel" }],
    })
  const resources = resourcesOf(image, overrides, defaults)
  return {
    id,
    directory,
    resources,
    bounds: boundsOf(overrides, defaults, resources.memory),
    ...(kernel && { kernel: { path: kernel.path, args: overrides.args ?? manifest.kernel?.args ?? "" } }),
    ...(manifest.architecture === "arm64" && { architecture: "arm64" as const }),
    ...(manifest.metadata?.platform?.uefi && { uefi: uefiPlan(directory, image) }),
    ...(manifest.metadata?.platform?.tpm && { tpm: { state: tpmState(directory) } }),
    ...(initrd && { initrd: { path: initrd.path } }),
    ...(layers.length > 0 && {
      disk: {
        layers,
        size: diskSize,
        writable: !overrides.readOnly,
        ephemeral: overrides.ephemeral === true,
        ...(overlay !== undefined && { overlay }),
      },
    }),
    ...(image.disks.length > 0 && { disks: image.disks.map((disk) => furtherPlan(disk, request)) }),
    ...(volumes.length > 0 && { volumes }),
    ...(shares.length > 0 && { shares }),
    devices: (manifest.devices ?? []).map(devicePlan),
    ...(network && network.mode !== "none" && { network }),
    ...(wantsAgent(request, image) && { agent: true }),
    consoleLimit,
    ...(consoleGoesOn && { consoleGoesOn }),
  }
}

function uefiPlan(directory: string, { variables, manifest }: PreparedImage): UefiPlan {
  return {
    variables: ownVariables(directory),
    ...(manifest.metadata?.platform?.secureBoot && { secureBoot: true }),
    ...(variables && { initial: variables }),
  }
}

/** Throws OVM_REQUEST_INVALID where one was asked to be left out that something else asked for is done by. */
function wantsAgent(
  { overrides: { agent, exec }, shares = [] }: LaunchRequest,
  { manifest }: PreparedImage,
): boolean {
  const user = exec ? "exec" : shares.length > 0 ? "shares" : undefined
  if (agent === false && user !== undefined)
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `overrides.${user}: that is the agent's to do, and the machine was asked to have none [OVMS-API-460, OVMS-SHR-005]`,
    )
  return agent ?? (manifest.agent !== undefined || user !== undefined)
}

/** One that is empty would be of no use read-only. */
function furtherPlan(
  { name, readOnly, layers: below, written = [], virtualSize }: PreparedDisk,
  { directory, overrides, furtherOverlays }: LaunchRequest,
): FurtherDiskPlan {
  const writable = below.length === 0 || !(readOnly || overrides.readOnly)
  const overlay = writable && { overlay: furtherOverlays?.get(name) ?? furtherOverlay(directory, name) }
  const layers = [...below, ...written]
  return { name, layers, size: virtualSize, ephemeral: overrides.ephemeral === true, ...overlay }
}

/** Throws OVM_REQUEST_INVALID for a volume that the guest could not tell from a disk of the image (OVMS-VOL-003). */
function refuseAlike({ disks, reference }: PreparedImage, volumes: readonly VolumePlan[]): void {
  const alike = volumes.find(({ serial }) => disks.some(({ name }) => name === serial))
  if (alike)
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `overrides.volumes: ${reference} has a disk of its own that is called ${alike.serial} [OVMS-VOL-003]`,
    )
}

function devicePlan(device: NonNullable<PreparedImage["manifest"]["devices"]>[number]): DevicePlan {
  return {
    type: device.type,
    name: device.name,
    ...(device.size !== undefined && { size: device.size }),
    ...(device.mmio_addr !== undefined && { mmioAddr: device.mmio_addr }),
    required: device.required ?? true,
  }
}
