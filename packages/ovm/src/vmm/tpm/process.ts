import { readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { isDefunct, processStat } from "../../host/process-stat.ts"
import type { Identity } from "../process/identity.ts"
import { loses } from "../process/lost.ts"
import { TPM_PID_FILE, TPM_STATE_FD } from "./swtpm.ts"

/** How long that of an earlier life may take to end: it sees its VMM's end, and writes down its state. */
const [END_MS, END_LOOK_MS] = [10_000, 10]

/** Whether the TPM whose state is in the folder `state` has ended while its VMM lives: settles as `loses` does. */
export function losesTpm(vmm: Identity, state: string, signal: AbortSignal): Promise<boolean> {
  return loses(vmm, () => isThere(state), signal)
}

/** Returns once none of an earlier life is there any more. Throws OVM_HOST_FAILED. */
export async function outlived(state: string): Promise<void> {
  const until = performance.now() + END_MS
  while (isThere(state)) {
    if (performance.now() > until)
      throw new OvmError("OVM_HOST_FAILED", `the machine's TPM of an earlier life does not end: ${state}`)
    await sleep(END_LOOK_MS)
  }
}

/**
 * Tells the TPM whose state is in the folder `state` to end, if there is one: it does by itself when its VMM ends, but
 * for one that no VMM ever spoke to. Its state is written down with each change.
 */
export function endTpm(state: string): void {
  const pid = tpmPid(state)
  if (pid === undefined) return
  try {
    const held = statSync(`/proc/${pid}/fd/${TPM_STATE_FD}`)
    const here = statSync(state)
    if (held.dev === here.dev && held.ino === here.ino) process.kill(pid, "SIGTERM")
  } catch {
    // It has ended.
  }
}

/** Another process may have its number by now, and another folder open in that place. */
function isThere(state: string): boolean {
  return tpmPid(state) !== undefined
}

/** Of the TPM whose state is in the folder `state`; undefined if none runs. */
export function tpmPid(state: string): number | undefined {
  try {
    const pid = Number(readFileSync(join(state, TPM_PID_FILE), "latin1"))
    const stat = processStat(pid)
    return stat?.name === "swtpm" && !isDefunct(stat) ? pid : undefined
  } catch {
    return undefined
  }
}
