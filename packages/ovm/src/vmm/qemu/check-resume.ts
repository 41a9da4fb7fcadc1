import type { ResumePlan, Unsupported } from "../plan.ts"
import type { Capabilities } from "../vmm.ts"
import { checkPlan } from "./check.ts"

/**
 * Loader.check of QEMU: what the plan alone gives, but for what is about booting, of a guest that has booted; and what
 * of a snapshot's files QEMU cannot take.
 */
export function checkResume(
  plan: ResumePlan,
  found: Pick<Capabilities, "accelerators">,
): readonly Unsupported[] {
  const planned = checkPlan(plan, found, plan.origin.model.devices).filter(
    ({ pointer }) => plan.kernel || !/^\/(kernel|initrd)/.test(pointer),
  )
  return [...planned, ...disk(plan), ...ram(plan), ...tpm(plan)]
}

function* disk({ disk, origin }: ResumePlan): Iterable<Unsupported> {
  if ((disk === undefined) !== (origin.diskSize === undefined))
    yield fatal("/disk", `the snapshot was taken ${disk ? "without" : "with"} a disk`)
  if (disk && disk.layers.length === 0) yield fatal("/disk", "the disk has no layer")
}

/** QEMU maps a file; pages that come later would have to come by its own migration. */
function* ram({ origin: { ram } }: ResumePlan): Iterable<Unsupported> {
  if (!("path" in ram))
    yield fatal("/ram", "QEMU's adapter maps RAM from a file, and has no use for served pages")
}

/** Its state would be a stranger's, and the same in each machine that goes on from it (OVMS-UEF-034). */
function* tpm({ tpm }: ResumePlan): Iterable<Unsupported> {
  if (tpm) yield fatal("/metadata/platform/tpm", "a machine with a TPM goes on from no snapshot")
}

function fatal(pointer: string, reason: string): Unsupported {
  return { pointer, severity: "fatal", reason }
}
