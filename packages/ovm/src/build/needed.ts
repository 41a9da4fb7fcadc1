import { relative } from "node:path"
import { type Digest, digestOf } from "../content/digest.ts"
import type { ContextEntry } from "./context.ts"
import { type Base, isStage, type PlannedStage } from "./planned.ts"

/** The stages that are made for the one that is wanted, each after those that it needs, and it last. */
export function neededStages(wanted: PlannedStage): readonly PlannedStage[] {
  const found = new Set<PlannedStage>()
  const visit = (from: PlannedStage | Base) => {
    if (!isStage(from) || found.has(from)) return
    visit(from.from)
    for (const { work } of from.steps)
      if (work.kind === "copy" && "stage" in work.sources) visit(work.sources.stage)
    found.add(from)
  }
  visit(wanted)
  return [...found]
}

/** All that they begin with or copy from, and that is no stage. */
export function neededBases(stages: readonly PlannedStage[]): readonly Base[] {
  const all = stages.flatMap(({ from, steps }) => [
    from,
    ...steps.flatMap(({ work }) =>
      work.kind === "copy" && "stage" in work.sources ? [work.sources.stage] : [],
    ),
  ])
  const bases = all.filter((one): one is Base => !isStage(one))
  return [...new Map(bases.map((base) => [base.digest, base])).values()]
}

/** Of all that is copied from the context whose root that is: names, kinds, modes and contents (OVMS-BLD-052). */
export function copiedDigest(stages: readonly PlannedStage[], root: string): Digest {
  const lines = stages.flatMap(({ steps }) =>
    steps.flatMap(({ work }) =>
      work.kind === "copy" && !("stage" in work.sources)
        ? work.sources.flatMap(({ entries }) => entries.map((entry) => lineOf(entry, root)))
        : [],
    ),
  )
  return digestOf([...new Set(lines)].sort().join(""))
}

function lineOf({ path, kind, mode, digest, link }: ContextEntry, root: string): string {
  const content = link === undefined ? (digest ?? "") : digestOf(link)
  return `${JSON.stringify([relative(root, path), kind, mode, content])}\n`
}
