import { existsSync, mkdirSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { isAbsent, textIfPresent } from "../../files/present.ts"
import { groupPlaces, unbounded } from "../../host/cgroup.ts"
import { type Bounds, boundGroup, wantsOf } from "../../host/cgroup-bounds.ts"
import { processNice, sessionNice } from "./priority.ts"
import { GROUP_FILE } from "./traces.ts"

/** Between two attempts to remove one, at first and at most: the process that reaps may be in no hurry. */
const FIRST_MS = 10
const LAST_MS = 60_000

/**
 * Makes the control groups of the VMM in `directory`, which are all that bound it, and notes them there first, a line
 * each: whatever is killed, somebody finds and removes them. Returns their paths. Throws what groupPlaces throws, and
 * OVM_UNSUPPORTED where the kernel does not take a bound.
 */
export function makeGroups(directory: string, bounds: Bounds): readonly string[] {
  const groups = groupPlaces(bounds).map((place) => ({
    ...place,
    path: join(place.folder, nameOf(directory)),
  }))
  const paths = groups.map(({ path }) => path)
  if (paths.length === 0) return paths
  for (const path of paths) keepGroup(path)
  writeFileSync(join(directory, GROUP_FILE), paths.join("\n"), { mode: 0o600 })
  const nice = sessionNice() ?? processNice()
  try {
    for (const group of groups) {
      mkdirSync(group.path, { recursive: true, mode: 0o755 })
      boundGroup(group, bounds, nice)
    }
  } catch (cause) {
    for (const path of paths) if (existsSync(path)) rmdirSync(path)
    const why = cause instanceof Error ? cause.message : String(cause)
    const fields = wantsOf(bounds).map(({ field }) => field)
    throw unbounded(fields.join(", "), `it could not be made the bound of a machine (${why})`, cause)
  }
  return paths
}

/**
 * Removes them, where their keeper could not: at once or, as long as there is a zombie in one that nobody has reaped
 * yet, as soon as that has gone. Never throws.
 */
export function removeGroups(directory: string): void {
  try {
    const note = join(directory, GROUP_FILE)
    const groups = textIfPresent(note)?.split("\n")
    if (groups === undefined) return
    const ours = groups.filter((group) => basename(group) === nameOf(directory))
    if (ours.map((group) => removeSometime(group, FIRST_MS)).every(Boolean)) rmSync(note, { force: true })
  } catch {
    // What cannot be read now can be later.
  }
}

/** What is tried again, by path. */
const retries = new Map<string, NodeJS.Timeout>()

/** True if it is gone now. */
function removeSometime(group: string, pause: number): boolean {
  keepGroup(group)
  try {
    rmdirSync(group)
    return true
  } catch (error) {
    if (isAbsent(error)) return true
    if (pause <= LAST_MS)
      retries.set(group, setTimeout(() => removeSometime(group, pause * 2), pause).unref())
    return false
  }
}

/** It is wanted again. */
function keepGroup(group: string): void {
  clearTimeout(retries.get(group))
  retries.delete(group)
}

/** No two instances have the same. */
function nameOf(directory: string): string {
  return `ovm-${basename(directory)}`
}
