import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import { formatAge } from "../durations.ts"
import { assertLockable } from "../host/lock-limit.ts"
import type { PreparedImage, PreparedSnapshot } from "../images/prepared.ts"
import { preloadRam } from "../ram/preload.ts"
import type { Loaded, Loading } from "../vmm/loader.ts"
import type { Machine } from "../vmm/machine.ts"
import type { ResumePlan, SnapshotOrigin } from "../vmm/plan.ts"
import { agentBoot } from "./agent-boot.ts"
import type { Fit } from "./fit.ts"
import { honoured, stranded } from "./network.ts"
import type { PlanContext, Planned } from "./plan.ts"
import { resumedIn, resumeOnce } from "./resumed-once.ts"
import { crowded } from "./share.ts"
import { refusalOf, sentence } from "./unsupported.ts"

/**
 * How this host goes on from the snapshot of `image`, which fits. A snapshot that may be resumed once, and was, is
 * refused here. Throws OVM_UNSUPPORTED, OVM_RESUME_DENIED.
 */
export async function planResume(
  { vmm, loader, capabilities, plan }: Fit,
  image: PreparedImage,
  snapshot: PreparedSnapshot,
  { root, claims }: Pick<PlanContext, "root" | "claims">,
): Promise<Planned> {
  const { descriptor, digest, layers, virtualSize: size } = snapshot
  const layersOf = new Map(snapshot.disks.map((disk) => [disk.name, disk.layers]))
  const folder = resumedIn(root)
  const wants = hintsOf(image, descriptor)
  const boot = agentBoot(plan)
  const wanted: ResumePlan = {
    ...boot.plan,
    ...(plan.disk && { disk: { ...plan.disk, layers, size } }),
    ...(plan.disks && {
      disks: plan.disks.map((disk) => ({ ...disk, layers: layersOf.get(disk.name) ?? disk.layers })),
    }),
    origin: originOf(snapshot),
    lockMemory: wants.lock,
  }
  if (wants.lock) await assertLockable(digest, wanted.resources.memory)
  const { plan: resume, warnings } = await resumable({ vmm, loader }, digest, wanted)
  const once = descriptor.uniqueness.multiResume === "deny"
  const release = once ? await claims?.take(folder, digest) : undefined
  const load = async (call: Loading) => {
    // While the VMM starts; a hint that cannot be honoured is no failure.
    await boot.make()
    if (wants.preload) preloadRam(snapshot.ram).catch(() => {})
    const loaded = await loader.load(resume, call)
    return once ? onlyOnce(loaded, folder, digest) : loaded
  }
  return {
    image,
    snapshot,
    capabilities,
    plan: resume,
    warnings: [
      ...image.warnings,
      ...warnings,
      ...(wants.lock ? [LOCKED] : []),
      ...(plan.agent ? [] : [unrenewed(descriptor)]),
    ],
    ...(release && { release }),
    load,
    go: (call) => setGoing(load({ ...call, goesOn: !once })),
  }
}

/** `wanted` as the VMM can honour it, and what of it will be otherwise. Throws OVM_UNSUPPORTED, naming `what`. */
export async function resumable(
  { vmm, loader }: Pick<Fit, "vmm" | "loader">,
  what: string,
  wanted: ResumePlan,
): Promise<Pick<Planned, "warnings"> & { readonly plan: ResumePlan }> {
  const findings = await loader.check(wanted)
  const refused = refusalOf(`${vmm.name} cannot resume ${what}`, findings)
  if (refused) throw refused
  const plan = honoured(wanted, findings)
  return { plan, warnings: [...crowded(plan), ...stranded(plan), ...findings.map(sentence)] }
}

/** Has a machine that is being loaded run. What is not let go is ended. */
export async function setGoing(loading: Promise<Loaded>): Promise<Machine> {
  const loaded = await loading
  try {
    return await loaded.resume()
  } catch (error) {
    await loaded.discard()
    throw error
  }
}

/** It is written down before the guest runs, and not before: a slot that waits has resumed nothing. */
function onlyOnce(loaded: Loaded, resumed: string, digest: Digest): Loaded {
  return {
    record: loaded.record,
    timings: loaded.timings,
    exited: loaded.exited,
    resume: async (options) => {
      await resumeOnce(resumed, digest)
      return await loaded.resume(options)
    },
    discard: () => loaded.discard(),
  }
}

function originOf({ descriptor, ram, state, virtualSize }: PreparedSnapshot): SnapshotOrigin {
  const { vmm, resources, devices } = descriptor
  return {
    vmm: vmm.name,
    version: vmm.version,
    accelerator: vmm.accelerator,
    model: { format: vmm.format, machineType: vmm.machine, cpu: vmm.cpuModel, ...resources, devices },
    ...(virtualSize > 0 && { diskSize: virtualSize }),
    ram: { path: ram },
    state,
  }
}

const LOCKED =
  "/ram/mlock_required: all memory of the machine is locked, and it shares none of it with other clones"

/** Nobody sets its clock, nor gives it random bytes (OVMS-SNP-174). */
function unrenewed({ created }: SnapshotDescriptor): string {
  return (
    `the machine goes on from a snapshot of ${created}, taken ${formatAge(created)}, without an agent: ` +
    "its clock stands at that time, and it has the identity of every other clone, until its guest changes that"
  )
}

/** RAM beside a machine has the hints of the machine's manifest as well (OVMS-SNP-083). */
function hintsOf({ manifest }: PreparedImage, { base, ram }: SnapshotDescriptor) {
  const beside = base ? undefined : manifest.ramSnapshot
  return {
    preload: ram.preload_hint === true || beside?.preload_hint === true,
    lock: ram.mlock_required === true || beside?.mlock_required === true,
  }
}
