import { readdir, readFile } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"

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
    if (!(await hasLiving(group))) return
    await sleep(2)
  }
}

async function hasLiving(group: number): Promise<boolean> {
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue
    const text = await readFile(`/proc/${pid}/stat`, "latin1").catch(() => "")
    // After the command's name: state, parent, group (proc(5)).
    const [state, , itsGroup] = text.slice(text.lastIndexOf(")") + 2).split(" ")
    if (Number(itsGroup) === group && state !== "Z" && state !== "X") return true
  }
  return false
}
