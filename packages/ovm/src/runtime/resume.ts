import { compare, type HostFacts, incompatible } from "../artifact/compatibility.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { hostCpu } from "../host.ts"
import type { PreparedImage } from "../images/images.ts"
import type { PreparedSnapshot } from "../images/snapshot.ts"
import type { Capabilities, LaunchPlan, Loaded, Loader, Origin, ResumePlan, Vmm } from "../vmm/interfaces.ts"
import type { Overrides } from "./interfaces.ts"
import { resumeOnce } from "./once.ts"
import { type Planned, planOf, sentence } from "./plan.ts"

/**
 * How this host would go on from the snapshot of `image` (spec/snapshot.md, "Compatibility"). Everything is held against the
 * descriptor before anything is started. `resumed` is the folder where one resume of a snapshot that allows no more is
 * remembered. Throws OVM_SNAPSHOT_INCOMPATIBLE with every field that differs, OVM_UNSUPPORTED,
 * OVM_VMM_MISSING.
 */
export async function planResume(
  vmms: readonly Vmm[],
  plan: LaunchPlan,
  image: PreparedImage,
  snapshot: PreparedSnapshot,
  overrides: Overrides,
  resumed: string,
  call: Call,
): Promise<Planned> {
  const { descriptor, digest } = snapshot
  const { vmm, load } = loaderFor(vmms, descriptor, digest)
  const capabilities = await vmm.capabilities(call)
  const { resources, disk, ...rest } = plan
  const resume: ResumePlan = {
    ...rest,
    resources: {
      vcpus: overrides.vcpus ?? descriptor.resources.vcpus,
      memory: overrides.memory ?? descriptor.resources.memory,
    },
    ...(disk && { disk: { ...disk, layers: snapshot.layers } }),
    accelerator: acceleratorFor(descriptor, capabilities),
    origin: originOf(snapshot),
  }
  const mismatches = compare(descriptor, factsOf(load, resume, capabilities, image))
  if (mismatches.length > 0) throw incompatible(`the snapshot ${digest}`, mismatches)
  const findings = load.checkResume(resume, capabilities)
  const fatal = findings.filter(({ severity }) => severity === "fatal")
  if (fatal.length > 0)
    throw new OvmError(
      "OVM_UNSUPPORTED",
      `${vmm.name} cannot resume ${digest}: ${fatal.map(sentence).join("; ")}`,
      {
        detail: fatal.map(({ pointer, reason }) => ({ pointer, reason })),
      },
    )
  const ready = async (call: Call) => {
    const loaded = await load.load(resume, call)
    return descriptor.uniqueness.multiResume === "deny" ? onlyOnce(loaded, resumed, digest) : loaded
  }
  return {
    capabilities,
    plan: resume,
    virtualSize: snapshot.virtualSize,
    warnings: [...image.warnings, ...findings.map(sentence), ...unhonoured(descriptor)],
    snapshot,
    load: ready,
    go: async (call) => {
      const loaded = await ready(call)
      try {
        return await loaded.resume()
      } catch (error) {
        await loaded.discard()
        throw error
      }
    },
  }
}

/** It is written down before the guest runs, and not before: a slot that waits has resumed nothing. */
function onlyOnce(loaded: Loaded, resumed: string, digest: Digest): Loaded {
  return {
    record: loaded.record,
    timings: loaded.timings,
    exited: loaded.exited,
    resume: async () => {
      await resumeOnce(resumed, digest)
      return await loaded.resume()
    },
    discard: () => loaded.discard(),
  }
}

/** The plan of a start that goes on from a snapshot: nothing is booted, so neither kernel nor arguments count. */
export function resumePlanOf(
  id: string,
  directory: string,
  image: PreparedImage,
  overrides: Overrides,
  consoleLimit: number,
): LaunchPlan {
  if (overrides.args !== undefined)
    throw new OvmError("OVM_UNSUPPORTED", "args: a machine that is resumed has booted already", {
      detail: [{ pointer: "args", reason: "the machine is resumed" }],
    })
  const { kernel: _, initrd: __, ...plan } = planOf(id, directory, image, overrides, consoleLimit)
  return plan
}

function loaderFor(vmms: readonly Vmm[], descriptor: SnapshotDescriptor, digest: string) {
  const vmm = vmms.find(({ name }) => name === descriptor.vmm.name)
  if (!vmm?.load || !vmm.model || !vmm.checkResume)
    throw incompatible(`the snapshot ${digest}`, [{ field: "/vmm/name", snapshot: descriptor.vmm.name }])
  const { load, model, checkResume } = vmm
  return { vmm, load: { load, model, checkResume } satisfies Loader }
}

/** Software emulation is there on every host; anything else only if it is what this host has. */
function acceleratorFor({ vmm }: SnapshotDescriptor, found: Capabilities): Capabilities["accelerator"] {
  return vmm.accelerator === "tcg" ? "tcg" : found.accelerator
}

function originOf({ descriptor, ram, state, virtualSize }: PreparedSnapshot): Origin {
  const { vmm, resources, devices } = descriptor
  return {
    vmm: vmm.name,
    version: vmm.version,
    accelerator: vmm.accelerator === "kvm" ? "kvm" : "tcg",
    model: { format: vmm.format, machineType: vmm.machine, cpu: vmm.cpuModel, ...resources, devices },
    ...(virtualSize > 0 && { diskSize: virtualSize }),
    ram,
    state,
  }
}

function factsOf(load: Loader, plan: ResumePlan, found: Capabilities, image: PreparedImage): HostFacts {
  const { architecture, ...host } = hostCpu()
  const { format, cpu, vcpus, memory, devices } = load.model(plan, found)
  return {
    architecture,
    host,
    vmm: {
      name: found.name,
      version: found.version,
      format,
      machine: found.machineTypes?.all ?? [],
      accelerator: plan.accelerator ?? found.accelerator,
      cpuModel: cpu,
    },
    resources: { vcpus, memory },
    devices,
    base: image.base.digest,
  }
}

function unhonoured({ ram }: SnapshotDescriptor): string[] {
  return ram.mlock_required
    ? ["/ram/mlock_required: the RAM is mapped, not locked, so that clones share it"]
    : []
}
