import { type Dockerfile, type Stage, stageCalled } from "./document.ts"
import { buildError } from "./faults.ts"
import type { PlannedStage, PlanOptions } from "./planned.ts"
import { planStage } from "./stage.ts"

/**
 * What there is to do for the stage that is wanted, and for those that it needs: nothing of it needs a machine to be
 * known. Throws OVM_BUILD_INVALID with the lines of what cannot be, and what finding images throws.
 */
export async function planBuild(file: Dockerfile, options: PlanOptions): Promise<PlannedStage> {
  const { target } = options
  const wanted = target === undefined ? file.stages.length - 1 : stageCalled(file, target, file.stages.length)
  if (wanted === undefined)
    throw buildError(file.path, [{ line: 1, message: `there is no stage ${JSON.stringify(target)}` }])
  checkStages(file)
  const planned = new Map<number, Promise<PlannedStage>>()
  const stage = (index: number): Promise<PlannedStage> => {
    const known = planned.get(index) ?? planStage(file, index, { ...options, stage })
    planned.set(index, known)
    return known
  }
  return await stage(wanted)
}

/** Throws for a stage that is asked for before it is there, or not at all, in whichever stage that is. */
function checkStages(file: Dockerfile): void {
  const faults = file.stages.flatMap(({ instructions }: Stage, index) =>
    instructions.flatMap(({ line, flags }) => {
      const from = flags.get("from")
      if (from === undefined || from.includes("$") || stageCalled(file, from, index) !== undefined) return []
      const later = stageCalled(file, from, file.stages.length) !== undefined
      if (!later && !/^\d+$/.test(from)) return []
      return [{ line, message: `there is no stage ${JSON.stringify(from)} before this one` }]
    }),
  )
  if (faults.length > 0) throw buildError(file.path, faults)
}
