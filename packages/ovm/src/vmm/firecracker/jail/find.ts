import { realpathSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { type Binary, findBinary } from "../../program.ts"

/**
 * The jailer beside the Firecracker at `path`, or beside what that is a link to, by the same name but for the program's
 * own: releases have their version in it. Undefined if there is none.
 */
export function jailerBeside(path: string): Binary | undefined {
  for (const place of [path, realpathSync(path)]) {
    const name = basename(place)
    const beside = name.includes("firecracker") ? name.replace("firecracker", "jailer") : "jailer"
    const found = findBinary(beside, join(dirname(place), beside), {})
    if (found) return found
  }
  return undefined
}
