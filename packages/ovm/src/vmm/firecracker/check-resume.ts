import { ownInterfaceFault } from "../../network/own-interface.ts"
import type { ResumePlan, Unsupported } from "../plan.ts"
import { checkFirecracker } from "./check.ts"
import { macInFirecracker } from "./network.ts"

/** Loader.check of Firecracker: what the plan alone gives, but for what is about booting; and what of a snapshot. */
export function checkLoad(plan: ResumePlan, jailed = false): readonly Unsupported[] {
  const planned = checkFirecracker(plan, { jailed }).filter(
    ({ pointer }) => !/^\/(kernel|initrd)/.test(pointer),
  )
  return [...planned, ...disk(plan), ...ram(plan), ...network(plan)]
}

function* disk({ disk, origin }: ResumePlan): Iterable<Unsupported> {
  if ((disk === undefined) !== (origin.diskSize === undefined))
    yield fatal("/disk", `the snapshot was taken ${disk ? "without" : "with"} a disk`)
  if (disk && disk.layers.length === 0) yield fatal("/disk", "the disk has no layer")
}

function* ram({ origin: { ram }, lockMemory }: ResumePlan): Iterable<Unsupported> {
  if (!("path" in ram)) yield fatal("/ram", "this adapter of Firecracker has RAM mapped from a file")
  if (lockMemory) yield fatal("/ram/mlock_required", "Firecracker locks no memory")
}

/** Also one that leads nowhere is an interface of a network of its own. */
function* network({ network, origin: { model } }: ResumePlan): Iterable<Unsupported> {
  if (network?.mode === "user" || macInFirecracker(model.devices) === undefined) return
  const reason = ownInterfaceFault()
  if (reason !== undefined) yield fatal("/network", `the snapshot's interface cannot be made here: ${reason}`)
}

function fatal(pointer: string, reason: string): Unsupported {
  return { pointer, severity: "fatal", reason }
}
