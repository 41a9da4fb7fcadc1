/** What one daemon takes on (spec/limits.md). */
export interface Limits {
  /** Instances whose VMM runs. */
  readonly running: number
  /** Instances on record, ended ones included. */
  readonly instances: number
  /** Bytes of console kept for each instance. */
  readonly console: number
  /** Bytes that warm slots may take in all while they wait. */
  readonly warmMemory: number
  /** Bytes that the host must have available; with less, slots are ended. */
  readonly warmReserve: number
  /** The most that one machine may have; absent: what its VMM can. */
  readonly machine: MachineLimits
}

export interface MachineLimits {
  readonly vcpus?: number
  /** Bytes. */
  readonly memory?: number
  /** So many processors' time. */
  readonly cpuQuota?: number
  /** Bytes that its VMM may take beside the guest's memory, with what the kernel keeps of files for it. */
  readonly memoryOverhead?: number
  /** Processes and threads of its VMM. */
  readonly pids?: number
  /** What it gets of a host that is busy, beside others: from 1 to 10000, others have 100 (cgroups(7)). */
  readonly cpuWeight?: number
  readonly ioWeight?: number
}

export const LIMITS: Limits = {
  running: 64,
  instances: 1024,
  console: 8 << 20,
  warmMemory: 1 << 30,
  warmReserve: 256 << 20,
  machine: {},
}

/** What counts where neither the request nor the manifest says anything (spec/manifest.md, spec/limits.md). */
export interface Defaults {
  readonly vcpus: number
  /** Bytes. */
  readonly memory: number
  /** How long a guest may take to power off, in ms. */
  readonly graceMs: number
  /** What a machine's network interface is connected to. */
  readonly network: "user" | "none"
  /** So many processors' time a machine may use; as much as there is unless given. */
  readonly cpuQuota?: number
  /** As for each machine: nothing that a start could say. */
  readonly machine?: MachineLimits
}

/** The longest that anybody gives a guest to power off, in ms (spec/runtime-api.md, "POST /stop"). */
export const MOST_GRACE_MS = 600_000

export const DEFAULTS: Defaults = { vcpus: 1, memory: 512 << 20, graceMs: 10_000, network: "user" }

/** What a machine gets that says nothing is no more than any may have; what is bounded at all is bounded for each. */
export function defaultsWithin(defaults: Defaults, { machine }: Limits): Defaults {
  const least = (one: number | undefined, other = Number.POSITIVE_INFINITY) => Math.min(one ?? other, other)
  const cpuQuota = least(defaults.cpuQuota, machine.cpuQuota)
  return {
    ...defaults,
    vcpus: least(defaults.vcpus, machine.vcpus),
    memory: least(defaults.memory, machine.memory),
    ...(Number.isFinite(cpuQuota) && { cpuQuota }),
    machine,
  }
}
