import { join } from "node:path"
import { refuseUefi } from "../artifact/machine/validate.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { PreparedImage, PreparedSnapshot, UntimedImage } from "../images/prepared.ts"
import type { Capabilities, DevicePlan, LaunchPlan, Loaded, Machine, Vmm } from "../vmm/interfaces.ts"
import type { Overrides } from "./interfaces.ts"
import { DEFAULT_RESOURCES } from "./limits.ts"
import { refusalOf, sentence } from "./unsupported.ts"

export interface Planned {
  readonly capabilities: Capabilities
  readonly plan: LaunchPlan
  /** Of the writable overlay, in bytes; 0 without a disk. */
  readonly virtualSize: number
  /** What will not be as the manifest says, in words. */
  readonly warnings: readonly string[]
  /** The snapshot that it goes on from; absent for a machine that boots. */
  readonly snapshot?: PreparedSnapshot
  /** Of a snapshot that may be resumed once: lets another start have it, once this one is over. */
  release?(): void
  /** Of a machine that resumes: the first half of `go`, up to the one command that is left. */
  load?(call: Call): Promise<Loaded>
  /** Boots or resumes the machine. */
  go(call: Call): Promise<Machine>
}

/** An override wins over the manifest, the manifest over the defaults (spec/manifest.md, "resources"). */
export function resourcesOf(image: UntimedImage | undefined, overrides: Overrides): LaunchPlan["resources"] {
  const wanted = image?.manifest.resources
  return {
    vcpus: overrides.vcpus ?? wanted?.vcpus ?? DEFAULT_RESOURCES.vcpus,
    memory: overrides.memory ?? wanted?.memory ?? DEFAULT_RESOURCES.memory,
  }
}

/** What a VMM is to be told to do for this image: pure. Throws OVM_UEFI_UNSUPPORTED. */
export function planOf(
  id: string,
  directory: string,
  image: UntimedImage,
  overrides: Overrides,
  consoleLimit: number,
): LaunchPlan {
  const { manifest, kernel, initrd, layers } = image
  refuseUefi(manifest)
  if (overrides.args !== undefined && !kernel)
    throw new OvmError("OVM_UNSUPPORTED", `args: ${image.reference} has no kernel that could take them`, {
      detail: [{ pointer: "args", reason: "the image has no kernel" }],
    })
  return {
    id,
    directory,
    resources: resourcesOf(image, overrides),
    ...(kernel && { kernel: { path: kernel.path, args: overrides.args ?? manifest.kernel?.args ?? "" } }),
    ...(initrd && { initrd: { path: initrd.path } }),
    ...(layers.length > 0 && {
      disk: { layers, ...(!overrides.readOnly && { overlay: join(directory, "overlay.qcow2") }) },
    }),
    devices: (manifest.devices ?? []).map(devicePlan),
    consoleLimit,
  }
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

/**
 * The first VMM, in the order of override, manifest's hint and installation, that is there and can honour the plan.
 * Throws OVM_UNSUPPORTED with every fatal finding of the first candidate, or OVM_VMM_MISSING.
 */
export async function chooseVmm(
  vmms: readonly Vmm[],
  image: PreparedImage,
  overrides: Overrides,
  plan: LaunchPlan,
  call: Call = {},
): Promise<Planned> {
  let refusal: OvmError | undefined
  for (const vmm of candidates(vmms, image, overrides)) {
    const findings = vmm.check(plan)
    const refused = refusalOf(`${vmm.name} cannot run ${image.reference}`, findings)
    if (refused) {
      refusal ??= refused
      continue
    }
    try {
      return {
        capabilities: await vmm.capabilities(call),
        plan,
        virtualSize: image.virtualSize,
        warnings: [...image.warnings, ...findings.map(sentence)],
        go: (call) => vmm.launch(plan, call),
      }
    } catch (error) {
      if (!(error instanceof OvmError && error.code === "OVM_VMM_MISSING")) throw error
      refusal ??= error
    }
  }
  throw refusal ?? new OvmError("OVM_VMM_MISSING", "this runtime has no VMM")
}

/** `preferredRuntime` only orders what the operator enabled; it is the artifact's wish, not a right. */
function candidates(vmms: readonly Vmm[], image: PreparedImage, overrides: Overrides): readonly Vmm[] {
  if (overrides.vmm !== undefined) {
    const named = vmms.filter((vmm) => vmm.name === overrides.vmm)
    if (named.length > 0) return named
    const names = vmms.map((vmm) => vmm.name)
    throw new OvmError(
      "OVM_UNSUPPORTED",
      `vmm: there is no VMM ${JSON.stringify(overrides.vmm)} here, only ${names.join(", ")}`,
      {
        detail: [{ pointer: "vmm", reason: `not one of ${names.join(", ")}` }],
      },
    )
  }
  const preferred = image.manifest.runtimeHints?.preferredRuntime ?? []
  const rank = (vmm: Vmm) => (preferred.includes(vmm.name) ? preferred.indexOf(vmm.name) : preferred.length)
  return vmms.toSorted((a, b) => rank(a) - rank(b))
}
