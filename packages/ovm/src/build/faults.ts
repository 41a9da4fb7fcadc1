import { OvmError } from "../errors.ts"

/** One thing that is wrong in a Dockerfile. */
export interface BuildFault {
  readonly line: number
  readonly message: string
}

/** More are not told. */
const MOST_FAULTS = 100

/** The error for the faults of the file that is called `path`; all of them are its detail. */
export function buildError(path: string, faults: readonly BuildFault[]): OvmError {
  const sorted = faults.toSorted((a, b) => a.line - b.line).slice(0, MOST_FAULTS)
  const [first = { line: 1, message: "it cannot be read" }] = sorted
  const more = sorted.length > 1 ? ` (and ${sorted.length - 1} more)` : ""
  return new OvmError("OVM_BUILD_INVALID", `${path}:${first.line}: ${first.message}${more}`, {
    detail: sorted.map(({ line, message }) => ({ line, message: `line ${line}: ${message}` })),
  })
}

/** What is wrong with the instruction that is looked at; whoever knows its line makes a BuildFault of it. */
export class Wrong extends Error {}
