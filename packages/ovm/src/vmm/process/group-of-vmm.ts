import { rmdirSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { isAbsent, textIfPresent } from "../../files/present.ts"
import { boundCpu, cpuGroups } from "../../host/cgroup.ts"
import { processNice, sessionNice } from "./priority.ts"
import { GROUP_FILE } from "./traces.ts"

/** Between two attempts to remove one, at first and at most: the process that reaps may be in no hurry. */
const FIRST_MS = 10
const LAST_MS = 60_000

/**
 * Makes the control group of the VMM in `directory`, which may use as much time as `cpuQuota` processors have, and
 * notes it there first: whatever is killed, somebody finds and removes it. Returns its path. Throws what cpuGroups and
 * boundCpu throw.
 */
export function makeGroup(directory: string, cpuQuota: number): string {
  const groups = cpuGroups()
  const group = join(groups.folder, nameOf(directory))
  keepGroup(group)
  writeFileSync(join(directory, GROUP_FILE), group, { mode: 0o600 })
  boundCpu({ ...groups, group }, { quota: cpuQuota, nice: sessionNice() ?? processNice() })
  return group
}

/**
 * Removes it, where its keeper could not: at once or, as long as there is a zombie in it that nobody has reaped yet, as
 * soon as that has gone. Never throws.
 */
export function removeGroup(directory: string): void {
  try {
    const note = join(directory, GROUP_FILE)
    const group = textIfPresent(note)
    if (group === undefined) return
    if (basename(group) !== nameOf(directory) || removeSometime(group, FIRST_MS))
      rmSync(note, { force: true })
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
