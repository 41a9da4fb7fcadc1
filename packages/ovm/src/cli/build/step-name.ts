/** Where names are of steps that builds have kept. */
export const STEP_NAMES = "ovm-build/step"
/** Where names are of machines that steps are done in, and of their snapshots. */
export const MACHINE_NAMES = "ovm-build/machine"

/** Whether a name of this host's store is of what builds have kept. */
export function isStep(reference: string): boolean {
  return [STEP_NAMES, MACHINE_NAMES].some((names) => reference.startsWith(`${names}:`))
}
