import { normalize } from "node:path"
import { patternOf } from "./patterns.ts"

/** Whether a path of a context is left out of it. */
export interface Ignored {
  /** Relative, parts separated by slashes. */
  (path: string): boolean
  /** Whether something below what is left out may be in all the same. */
  readonly hasExceptions: boolean
}

/** Of the text of a .dockerignore: the last line that fits a path, or a folder that it is in, decides. */
export function ignoredBy(text: string): Ignored {
  const lines = text.split(/\r?\n/).map((line) => line.trim())
  const rules = lines.flatMap((line) => {
    if (line === "" || line.startsWith("#")) return []
    const keeps = line.startsWith("!")
    const clean = normalize(keeps ? line.slice(1).trim() : line).replace(/^\/+|\/+$/g, "")
    const pattern = clean === "" || clean === "." ? undefined : patternOf(clean)
    return pattern ? [{ keeps, pattern }] : []
  })
  const ignored = (path: string) => {
    const parts = path.split("/")
    const paths = parts.map((_, at) => parts.slice(0, at + 1).join("/"))
    const last = rules.findLast(({ pattern }) => paths.some((one) => pattern.test(one)))
    return last !== undefined && !last.keeps
  }
  return Object.assign(ignored, { hasExceptions: rules.some(({ keeps }) => keeps) })
}
