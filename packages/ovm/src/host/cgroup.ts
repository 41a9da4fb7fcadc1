import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { OvmError } from "../errors.ts"
import { type Hierarchy, hierarchiesIn } from "./cgroup-places.ts"

/** The time over which a quota counts, in µs: the kernel's own default. */
const PERIOD_US = 100_000
/** The least that the kernel takes, in µs. */
const LEAST_US = 1000
/** A daemon that systemd has delegated a group to is in this one of it (cli/service/unit.ts). */
export const DAEMONS_GROUP = "daemon"
/** Where there is nothing of the kind, root has a group for all machines beside the system's own. */
const OVM = "ovm"

/** Where groups of processes can be made whose processor time is bounded. */
export interface CpuGroups {
  readonly version: 1 | 2
  readonly folder: string
}

/**
 * Where this process may make such groups (cgroups(7)): in version 1 in its own group; in version 2, where a group has
 * either members or groups in it, in the one that was delegated to it, or, as root, in one for all machines. Throws
 * OVM_UNSUPPORTED with what is needed.
 */
export function cpuGroups(): CpuGroups {
  const faults: string[] = []
  for (const hierarchy of hierarchies())
    try {
      return hierarchy.version === 1 ? ownGroup(hierarchy) : groupOfOthers(hierarchy)
    } catch (error) {
      faults.push(error instanceof Error ? error.message : String(error))
    }
  const why = faults.length > 0 ? faults.join("; ") : "none with the controller cpu is mounted"
  throw unbounded(`this daemon may make no control group that bounds processor time (${why})`)
}

function hierarchies(): readonly Hierarchy[] {
  const read = (name: string) => readFileSync(`/proc/self/${name}`, "utf8")
  return hierarchiesIn(read("mountinfo"), read("cgroup"))
}

function ownGroup({ own }: Hierarchy): CpuGroups {
  if (own === undefined) throw new Error("the daemon's own group cannot be seen here")
  accessSync(own, constants.W_OK)
  return { version: 1, folder: own }
}

/** What was delegated before what is root's. Groups in it have the controller then. */
function groupOfOthers({ mount, own }: Hierarchy): CpuGroups {
  try {
    if (!own?.endsWith(`/${DAEMONS_GROUP}`)) throw new Error("none was delegated to it")
    return { version: 2, folder: allowCpu(dirname(own)) }
  } catch (error) {
    if (process.getuid?.() !== 0) throw error
    const folder = join(allowCpu(mount), OVM)
    mkdirSync(folder, { recursive: true })
    return { version: 2, folder: allowCpu(folder) }
  }
}

function allowCpu(group: string): string {
  const control = join(group, "cgroup.subtree_control")
  if (!readFileSync(control, "utf8").split(/\s+/).includes("cpu"))
    writeFileSync(control, "+cpu", { flag: "r+" })
  return group
}

/** What all that is ever in a group has. */
export interface CpuBound {
  /** The time that so many processors have. */
  readonly quota: number
  /** Beside others, as a process of this nice value has it: the group is weighed, and no process in it. */
  readonly nice: number
}

/** Makes `group`, if it is not there, and bounds it. Throws OVM_UNSUPPORTED where the kernel does not take that. */
export function boundCpu(
  { version, group }: Pick<CpuGroups, "version"> & { readonly group: string },
  { quota, nice }: CpuBound,
): void {
  const us = Math.max(LEAST_US, Math.round(quota * PERIOD_US))
  const write = (name: string, text: string) => writeFileSync(join(group, name), text, { flag: "r+" })
  try {
    mkdirSync(group, { recursive: true, mode: 0o755 })
    if (version === 2) {
      write("cpu.max", `${us} ${PERIOD_US}`)
      write("cpu.weight.nice", String(nice))
    } else {
      write("cpu.shares", String(sharesOf(nice)))
      write("cpu.cfs_period_us", String(PERIOD_US))
      write("cpu.cfs_quota_us", String(us))
    }
  } catch (cause) {
    if (existsSync(group)) rmdirSync(group)
    const why = cause instanceof Error ? cause.message : String(cause)
    throw unbounded(`${quota} processors' time could not be made the bound of a machine (${why})`, cause)
  }
}

/** As the kernel weighs processes: each step of nice is a quarter less (sched_prio_to_weight). */
function sharesOf(nice: number): number {
  return Math.max(2, Math.round(1024 / 1.25 ** nice))
}

function unbounded(reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_UNSUPPORTED", `cpuQuota: ${reason}`, {
    cause,
    detail: [{ pointer: "cpuQuota", reason }],
    hint: "a daemon of root's, or, with systemd 254 or later, one of ovm install-service may make them",
  })
}
