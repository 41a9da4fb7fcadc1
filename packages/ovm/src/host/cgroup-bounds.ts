import { existsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Controller } from "./cgroup-places.ts"

/** What all that is ever in the groups of a machine has at most, or beside others; absent: as the kernel has it. */
export interface Bounds {
  /** The time that so many processors have. */
  readonly cpuQuota?: number
  /** From 1 to 10000 (cgroups(7), "cpu.weight"), and so is ioWeight. */
  readonly cpuWeight?: number
  readonly ioWeight?: number
  /** Bytes, with what the kernel keeps of files for it and can let go. */
  readonly memory?: number
  /** Processes and threads. */
  readonly pids?: number
}

/** The time over which a quota counts, in µs: the kernel's own default. */
const PERIOD_US = 100_000
/** The least that the kernel takes, in µs. */
const LEAST_US = 1000
/** Of which every group has this much unless told. */
const USUAL_WEIGHT = 100

export const BOUNDED: Readonly<Record<Controller, string>> = {
  cpu: "processor time",
  memory: "memory",
  pids: "processes",
  io: "input and output",
}

/** The scheduler of the disk decides which of them are there. */
export const WEIGHT_FILES = {
  1: ["blkio.bfq.weight"],
  2: ["io.weight", "io.bfq.weight"],
} as const

/** A controller, and what of `bounds` it is needed for, as who has asked for it calls that. */
export function wantsOf(
  bounds: Bounds,
): readonly { readonly controller: Controller; readonly field: string }[] {
  const { cpuQuota, cpuWeight, ioWeight, memory, pids } = bounds
  const ours = (name: string) => `limits.machine.${name}`
  return [
    { wanted: cpuQuota, controller: "cpu", field: "cpuQuota" } as const,
    {
      wanted: cpuQuota === undefined ? cpuWeight : undefined,
      controller: "cpu",
      field: ours("cpuWeight"),
    } as const,
    { wanted: memory, controller: "memory", field: ours("memoryOverhead") } as const,
    { wanted: pids, controller: "pids", field: ours("pids") } as const,
    { wanted: ioWeight, controller: "io", field: ours("ioWeight") } as const,
  ].filter(({ wanted }) => wanted !== undefined)
}

/** A group that was made, and what it can bound. */
interface Group {
  readonly version: 1 | 2
  readonly controllers: readonly Controller[]
  readonly path: string
}

/**
 * Bounds a group. `nice`: how its processes would be weighed outside of it, which counts unless there is a weight.
 * Throws the system's error where the kernel does not take that.
 */
export function boundGroup({ version, controllers, path }: Group, bounds: Bounds, nice: number): void {
  const told = version === 1 ? inVersion1(bounds, nice) : inVersion2(bounds, nice)
  for (const [controller, name, value] of told)
    if (value !== undefined && controllers.includes(controller))
      writeFileSync(join(path, name), String(value), { flag: "r+" })
  const { ioWeight } = bounds
  if (ioWeight !== undefined && controllers.includes("io"))
    for (const name of WEIGHT_FILES[version].filter((name) => existsSync(join(path, name))))
      writeFileSync(join(path, name), String(name === "io.weight" ? ioWeight : bfqWeight(ioWeight)), {
        flag: "r+",
      })
}

type Told = readonly [Controller, string, string | number | undefined]

function inVersion1({ cpuQuota, cpuWeight, memory, pids }: Bounds, nice: number): readonly Told[] {
  return [
    ["cpu", "cpu.shares", cpuWeight === undefined ? sharesOf(nice) : sharesOfWeight(cpuWeight)],
    ["cpu", "cpu.cfs_period_us", cpuQuota && PERIOD_US],
    ["cpu", "cpu.cfs_quota_us", cpuQuota && quotaUs(cpuQuota)],
    ["memory", "memory.limit_in_bytes", memory],
    ["pids", "pids.max", pids],
  ]
}

/** A group that bounds memory alone has no processor's files, unless others have them: it is not weighed then. */
function inVersion2({ cpuQuota, cpuWeight, memory, pids }: Bounds, nice: number): readonly Told[] {
  return [
    ["cpu", "cpu.max", cpuQuota && `${quotaUs(cpuQuota)} ${PERIOD_US}`],
    cpuWeight === undefined ? ["cpu", "cpu.weight.nice", nice] : ["cpu", "cpu.weight", cpuWeight],
    ["memory", "memory.max", memory],
    ["pids", "pids.max", pids],
  ]
}

function quotaUs(quota: number): number {
  return Math.max(LEAST_US, Math.round(quota * PERIOD_US))
}

/** As the kernel weighs processes: each step of nice is a quarter less (sched_prio_to_weight). */
function sharesOf(nice: number): number {
  return Math.max(2, Math.round(1024 / 1.25 ** nice))
}

function sharesOfWeight(weight: number): number {
  return Math.max(2, Math.round((1024 * weight) / USUAL_WEIGHT))
}

/** That scheduler has them from 1 to 1000, with the same usual one. */
function bfqWeight(weight: number): number {
  const above = weight - USUAL_WEIGHT
  return above <= 0 ? weight : Math.round(USUAL_WEIGHT + (above * 900) / 9900)
}
