/** Where names are of steps that builds have kept. */
export const STEP_NAMES = "ovm-build/step"

/** Whether a name of this host's store is that of a kept step. */
export function isStep(reference: string): boolean {
  return reference.startsWith(`${STEP_NAMES}:`)
}
