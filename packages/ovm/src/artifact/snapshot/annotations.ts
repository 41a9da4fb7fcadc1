import type { SnapshotDescriptor } from "./descriptor.ts"

// What a registry's list of referrers shows of a snapshot, so that it can be filtered without fetching (OVMS-SNP-006).

const VMM = "ovms.snapshot.vmm"
const VERSION = "ovms.snapshot.vmm-version"
const FORMAT = "ovms.snapshot.format"
const ACCELERATOR = "ovms.snapshot.accelerator"
const ARCHITECTURE = "ovms.snapshot.architecture"
const FEATURES = "ovms.snapshot.cpu-features"
const MEMORY = "ovms.snapshot.memory"
export const CREATED_ANNOTATION = "org.opencontainers.image.created"

/** The annotations that must not contradict the descriptor. */
export function snapshotAnnotations(snapshot: SnapshotDescriptor): Record<string, string> {
  const { vmm, host, resources } = snapshot
  return {
    [VMM]: vmm.name,
    [VERSION]: vmm.version,
    [FORMAT]: vmm.format,
    [ACCELERATOR]: vmm.accelerator,
    [ARCHITECTURE]: snapshot.architecture,
    ...(host?.cpuFeatures && { [FEATURES]: host.cpuFeatures }),
    [MEMORY]: String(resources.memory),
  }
}

/** What a referrers list tells of a snapshot; a member is undefined where the annotation is missing. */
export interface SnapshotSummary {
  readonly vmm: string | undefined
  readonly version: string | undefined
  readonly format: string | undefined
  readonly accelerator: string | undefined
  readonly architecture: string | undefined
  readonly cpuFeatures: string | undefined
  readonly memory: string | undefined
  readonly created: string | undefined
}

/**
 * Reads what `snapshotAnnotations` wrote. It is a hint: what was chosen by it is compared again, with the descriptor.
 */
export function summaryOf(annotations: Readonly<Record<string, string>> = {}): SnapshotSummary {
  return {
    vmm: annotations[VMM],
    version: annotations[VERSION],
    format: annotations[FORMAT],
    accelerator: annotations[ACCELERATOR],
    architecture: annotations[ARCHITECTURE],
    cpuFeatures: annotations[FEATURES],
    memory: annotations[MEMORY],
    created: annotations[CREATED_ANNOTATION],
  }
}
