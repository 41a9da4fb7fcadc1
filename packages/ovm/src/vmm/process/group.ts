import { setTimeout as sleep } from "node:timers/promises"
import { isDefunct, pids, processStat } from "../../host/process-stat.ts"

const LONGEST_MS = 3000

/**
 * Kills a keeper with all below it and waits until they are gone. Only for a group that this process has started
 * itself.
 */
export async function killGroup(group: number): Promise<void> {
  for (let waited = 0; waited < LONGEST_MS; waited += 2) {
    try {
      process.kill(-group, "SIGKILL")
    } catch {
      return
    }
    // The group's name lives on in zombies until somebody reaps them, which may be an init that is in no hurry.
    if (!hasLiving(group)) return
    await sleep(2)
  }
}

function hasLiving(group: number): boolean {
  return pids().some((pid) => {
    try {
      const stat = processStat(pid)
      return stat?.group === group && !isDefunct(stat)
    } catch {
      return false
    }
  })
}
