import { compare, type HostFacts, incompatible } from "../artifact/snapshot/compatibility.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { hostCpu } from "../host/cpu.ts"
import { assertLockable } from "../host/lock-limit.ts"
import type { PreparedImage, PreparedSnapshot, UntimedImage } from "../images/prepared.ts"
import { preloadRam } from "../ram/preload.ts"
import type {
  Capabilities,
  LaunchPlan,
  Loaded,
  Loader,
  Loading,
  Origin,
  ResumePlan,
  Vmm,
} from "../vmm/interfaces.ts"
import type { Overrides } from "./interfaces.ts"
import { type Planned, planOf } from "./plan.ts"
import { type Claims, resumeOnce } from "./resumed-once.ts"
import { refusalOf, sentence } from "./unsupported.ts"

/** A snapshot that fits this host, with what it would be resumed by. */
interface Fit {
  readonly vmm: Vmm
  readonly load: Loader
  readonly capabilities: Capabilities
  /** With the snapshot's own resources and accelerator. */
  readonly plan: LaunchPlan
}

/**
 * Holds the descriptor of the snapshot `digest` of `image` against this host (spec/snapshot.md, "Compatibility"). Throws
 * OVM_SNAPSHOT_INCOMPATIBLE or OVM_BASE_MISMATCH with every field that differs, OVM_VMM_MISSING.
 */
export async function checkFit(
  vmms: readonly Vmm[],
  plan: LaunchPlan,
  image: UntimedImage,
  descriptor: SnapshotDescriptor,
  digest: Digest,
  overrides: Overrides,
  call: Call,
): Promise<Fit> {
  const { vmm, load } = loaderFor(vmms, descriptor, digest)
  const capabilities = await vmm.capabilities(call)
  const fixed: LaunchPlan = {
    ...plan,
    resources: {
      vcpus: overrides.vcpus ?? descriptor.resources.vcpus,
      memory: overrides.memory ?? descriptor.resources.memory,
    },
    accelerator: acceleratorFor(descriptor, capabilities),
  }
  const mismatches = compare(descriptor, factsOf(load, fixed, capabilities, image, descriptor.devices))
  if (mismatches.length > 0) throw incompatible(`the snapshot ${digest}`, mismatches)
  return { vmm, load, capabilities, plan: fixed }
}

/**
 * How this host would go on from the snapshot of `image`. Everything is held against the descriptor before anything is started.
 * `resumed` is where one resume of a snapshot that allows no more is remembered: a start of it is refused here. Throws as `checkFit` does, and
 * OVM_UNSUPPORTED, OVM_RESUME_DENIED.
 */
export async function planResume(
  vmms: readonly Vmm[],
  plan: LaunchPlan,
  image: PreparedImage,
  snapshot: PreparedSnapshot,
  overrides: Overrides,
  resumed: { readonly folder: string; readonly claims?: Claims | undefined },
  call: Call,
): Promise<Planned> {
  const { descriptor, digest } = snapshot
  const fit = await checkFit(vmms, plan, image, descriptor, digest, overrides, call)
  const { vmm, load, capabilities } = fit
  const { disk, ...rest } = fit.plan
  const wants = hintsOf(image, descriptor)
  const resume: ResumePlan = {
    ...rest,
    ...(disk && { disk: { ...disk, layers: snapshot.layers } }),
    origin: originOf(snapshot),
    lockMemory: wants.lock,
  }
  if (wants.lock) await assertLockable(digest, resume.resources.memory)
  const findings = load.checkResume(resume, capabilities)
  const refused = refusalOf(`${vmm.name} cannot resume ${digest}`, findings)
  if (refused) throw refused
  const once = descriptor.uniqueness.multiResume === "deny"
  const release = once ? await resumed.claims?.take(resumed.folder, digest) : undefined
  const ready = async (call: Loading) => {
    // While the VMM starts; a hint that cannot be honoured is no failure.
    if (wants.preload) preloadRam(snapshot.ram).catch(() => {})
    const loaded = await load.load(resume, call)
    return once ? onlyOnce(loaded, resumed.folder, digest) : loaded
  }
  return {
    capabilities,
    plan: resume,
    virtualSize: snapshot.virtualSize,
    warnings: [...image.warnings, ...findings.map(sentence), ...(wants.lock ? [LOCKED] : [])],
    snapshot,
    ...(release && { release }),
    load: ready,
    go: async (call) => {
      const loaded = await ready({ ...call, goesOn: !once })
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

/**
 * The plan of a start that goes on from a snapshot of `image`: with kernel and initrd, and the arguments that the machine was
 * started with, where its guest may still read them, else without (OVMS-SNP-132). Throws OVM_UNSUPPORTED, OVM_SNAPSHOT_INVALID.
 */
export function resumePlanOf(
  id: string,
  directory: string,
  image: UntimedImage,
  { boot }: SnapshotDescriptor,
  overrides: Overrides,
  consoleLimit: number,
): LaunchPlan {
  if (overrides.args !== undefined)
    throw new OvmError("OVM_UNSUPPORTED", "args: a machine that is resumed has booted already", {
      detail: [{ pointer: "args", reason: "the machine is resumed" }],
    })
  const { kernel, initrd, ...plan } = planOf(id, directory, image, overrides, consoleLimit)
  if (!boot) return plan
  if (!kernel)
    throw new OvmError(
      "OVM_SNAPSHOT_INVALID",
      `${image.reference}: the snapshot's guest still reads a kernel, and its base has none [OVMS-SNP-133]`,
      { detail: { requirement: "OVMS-SNP-133" } },
    )
  return { ...plan, kernel: { ...kernel, args: boot.args }, ...(initrd && { initrd }) }
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

function factsOf(
  load: Loader,
  plan: LaunchPlan,
  found: Capabilities,
  image: UntimedImage,
  theirs: readonly string[],
): HostFacts {
  const { architecture, ...host } = hostCpu()
  const { format, cpu, vcpus, memory, devices } = load.model(plan, found, theirs)
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

const LOCKED =
  "/ram/mlock_required: all memory of the machine is locked, and it shares none of it with other clones"

/** RAM beside a machine has the hints of the machine's manifest as well (OVMS-SNP-083). */
function hintsOf({ manifest }: PreparedImage, { base, ram }: SnapshotDescriptor) {
  const beside = base ? undefined : manifest.ramSnapshot
  return {
    preload: ram.preload_hint === true || beside?.preload_hint === true,
    lock: ram.mlock_required === true || beside?.mlock_required === true,
  }
}
