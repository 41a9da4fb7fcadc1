import { textIfPresent } from "../../files/present.ts"
import { bootId } from "../../host/boot-id.ts"
import { isStopped, type ProcessStat, processStat } from "../../host/process-stat.ts"
import { type HelperPart, helpersIn } from "./helpers.ts"
import { type Identity, isForeign } from "./identity.ts"

/** A process beside a VMM that a signal has stopped. */
export interface StoppedProcess {
  readonly part: HelperPart | "keeper"
  readonly pid: number
  /** Of its program, as the kernel has it. */
  readonly name: string
}

/** Those beside a VMM that are stopped just now. Throws what reading throws. */
export function stoppedBeside(vmm: Identity): readonly StoppedProcess[] {
  const keeper = statOf(vmm)?.session ?? 0
  const stat = keeper > 0 ? processStat(keeper) : undefined
  return [
    ...stopped("keeper", keeper, stat),
    ...helpersIn(vmm.directory).flatMap((helper) => {
      const { part, pid } = helper
      const own = part === undefined ? undefined : statOf(helper)
      if (part === undefined || !own) return []
      // virtiofsd is two processes: the first one waits for the other.
      const children = part === "share" ? childrenOf(pid) : []
      return [...stopped(part, pid, own), ...children.flatMap((pid) => stopped(part, pid, processStat(pid)))]
    }),
  ]
}

function stopped(
  part: StoppedProcess["part"],
  pid: number,
  stat: ProcessStat | undefined,
): readonly StoppedProcess[] {
  return stat && isStopped(stat) ? [{ part, pid, name: stat.name }] : []
}

function childrenOf(pid: number): readonly number[] {
  const text = textIfPresent(`/proc/${pid}/task/${pid}/children`) ?? ""
  return text.split(" ").filter(Boolean).map(Number)
}

/** Undefined for one that has ended, or that is somebody else's to look at. */
function statOf(identity: Identity): ProcessStat | undefined {
  if (isForeign(identity) || identity.bootId !== bootId()) return undefined
  const stat = processStat(identity.pid)
  return stat?.startTime === identity.startTime ? stat : undefined
}
