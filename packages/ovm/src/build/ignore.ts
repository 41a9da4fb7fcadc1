import { normalize } from "node:path"
import { type BuildFault, buildError } from "./faults.ts"
import { patternOf } from "./patterns.ts"

/** Whether a path of a context is left out of it. */
export interface Ignored {
  /** Relative, parts separated by slashes. */
  (path: string): boolean
  /** Whether something below what is left out may be in all the same. */
  readonly hasExceptions: boolean
}

/**
 * Of the text of a .dockerignore, which is called `file`: the last line that fits a path, or a folder that it is in,
 * decides. Throws OVM_BUILD_INVALID for a line that is no pattern: what it was to leave out would be copied.
 */
export function ignoredBy(text: string, file: string): Ignored {
  const faults: BuildFault[] = []
  const rules = text.split(/\r?\n/).flatMap((untrimmed, at) => {
    const line = untrimmed.trim()
    if (line === "" || line.startsWith("#")) return []
    const keeps = line.startsWith("!")
    const clean = normalize(keeps ? line.slice(1).trim() : line).replace(/^\/+|\/+$/g, "")
    const pattern = patternOf(clean)
    if (!pattern || line === "!")
      faults.push({ line: at + 1, message: `${JSON.stringify(line)} is no pattern` })
    return pattern && clean !== "" && clean !== "." ? [{ keeps, pattern }] : []
  })
  if (faults.length > 0) throw buildError(file, faults)
  const ignored = (path: string) => {
    const parts = path.split("/")
    const paths = parts.map((_, at) => parts.slice(0, at + 1).join("/"))
    const last = rules.findLast(({ pattern }) => paths.some((one) => pattern.test(one)))
    return last !== undefined && !last.keeps
  }
  return Object.assign(ignored, { hasExceptions: rules.some(({ keeps }) => keeps) })
}
