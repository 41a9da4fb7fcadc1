import { realpathSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { type Binary, findBinary } from "../../program.ts"

interface Pair {
  readonly firecracker: Binary
  readonly jailer: Binary
}

/** What was found last in this process, by Firecracker's path: every start asks. */
const remembered = new Map<string, Pair>()

/**
 * As jailerBeside, which looks again once either of the two is another file. Where there was none it always looks, for
 * somebody may have put one there.
 */
export function jailerOf({ path, size, mtimeMs }: Binary): Binary | undefined {
  const firecracker = { path, size, mtimeMs }
  const last = remembered.get(path)
  if (last && same(last.firecracker, firecracker) && same(last.jailer, at(last.jailer.path)))
    return last.jailer
  const jailer = jailerBeside(path)
  if (jailer) remembered.set(path, { firecracker, jailer })
  else remembered.delete(path)
  return jailer
}

function same(one: Binary, other: Binary | undefined): boolean {
  return one.size === other?.size && one.mtimeMs === other.mtimeMs
}

function at(path: string): Binary | undefined {
  return findBinary("", path, {})
}

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
