import { appendFileSync, statSync, unlinkSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { textIfPresent } from "../../files/present.ts"
import { forwarderPids } from "../../network/named/forwarder.ts"
import { type Identity, identityOf, lives } from "./identity.ts"

/** In the machine's directory: what runs beside its VMM, and whose directory it was when that began, a line each. */
const HELPERS_FILE = "helpers"

/** What of its machine one does. */
export type HelperPart = "network" | "share" | "tpm"

interface Helper extends Identity {
  /** Absent in notes of earlier versions. */
  readonly part?: HelperPart
}

/** How long one may take to see its VMM's end, and to have gone after SIGKILL. */
const END_MS = 1000
const KILLED_MS = 2000
const LOOK_MS = 2

/**
 * Notes a process that is there for the machine in `directory` and ends by itself with its VMM. One that cannot be
 * noted does so all the same.
 */
export function noteHelper(directory: string, pid: number | undefined, part: HelperPart): void {
  try {
    const identity = identityOf(directory, pid)
    if (!identity) return
    const line = JSON.stringify({ ...identity, part, directory: placeOf(directory) })
    appendFileSync(join(directory, HELPERS_FILE), `${line}\n`, { mode: 0o600 })
  } catch {}
}

/**
 * Returns once nothing of what ran beside the VMM in `directory` does any more: what does not see its end, such as one
 * that was stopped, is killed (OVMS-API-531).
 */
export async function endHelpers(directory: string): Promise<void> {
  const noted = await runningIn(directory)
  const ports = forwarderPids(directory).flatMap((pid) => identityOf(directory, pid) ?? [])
  let left = [...noted, ...ports]
  for (let waited = 0; left.length > 0 && waited < END_MS + KILLED_MS; waited += LOOK_MS) {
    if (waited >= END_MS) for (const { pid } of left) killWhole(pid)
    await sleep(LOOK_MS)
    left = await filtered(left)
  }
  if (left.length > 0) return
  try {
    unlinkSync(join(directory, HELPERS_FILE))
  } catch {} // Notes of what has gone mislead nobody.
}

async function runningIn(directory: string): Promise<Identity[]> {
  return await filtered(helpersIn(directory))
}

/** All that were noted and may run still; none where that cannot be read. */
export function helpersIn(directory: string): readonly Helper[] {
  try {
    const here = placeOf(directory)
    const lines = (textIfPresent(join(directory, HELPERS_FILE)) ?? "").trim().split("\n")
    // Of a copy of the directory none of them is.
    return lines.flatMap((line) => helperIn(line) ?? []).filter((one) => one.directory === here)
  } catch {
    return []
  }
}

/** Undefined for a line that is not whole. */
function helperIn(line: string): Helper | undefined {
  try {
    const { pid, startTime, bootId, directory, pidNamespace, part } = JSON.parse(line)
    if (!Number.isSafeInteger(pid) || pid <= 1) return undefined
    return { pid, startTime, bootId, directory, ...(pidNamespace && { pidNamespace }), ...(part && { part }) }
  } catch {
    return undefined
  }
}

async function filtered(all: readonly Identity[]): Promise<Identity[]> {
  const states = await Promise.all(all.map(lives))
  return all.filter((_, at) => states[at])
}

/** With those that it leads, if it leads any: virtiofsd is two processes. */
function killWhole(pid: number): void {
  for (const target of [-pid, pid])
    try {
      process.kill(target, "SIGKILL")
    } catch {}
}

/** Another one for a copy, and the same wherever it is moved to. */
function placeOf(directory: string): string {
  const { dev, ino } = statSync(directory)
  return `${dev}:${ino}`
}
