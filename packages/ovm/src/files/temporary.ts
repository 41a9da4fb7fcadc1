import { join } from "node:path"
import { bootId } from "../host/boot-id.ts"
import { pidNamespace } from "../host/pid-namespace.ts"
import { processStat } from "../host/process-stat.ts"
import { asyncFs } from "./async.ts"

/** Who writes it: boot of the host, PID namespace, pid and start time; names of earlier versions do not say. */
const NAME = /^\.ovm-(?:([0-9a-f]{12})\.(\d*)\.(\d+)\.(\d+)-)?[0-9a-f-]{36}\.tmp$/
/** A writer of whom nothing is known and who takes longer is taken for dead: an hour. */
const STALE_MS = 3_600_000

let ours: string | undefined

/** A path in `folder` that nobody else has, and by which others see whether its writer is still there. */
export function temporaryIn(folder: string): string {
  ours ??= [bootOf(), pidNamespace(), process.pid, startOf("self")].join(".")
  return join(folder, `.ovm-${ours}-${crypto.randomUUID()}.tmp`)
}

/**
 * Removes what writers that died have left in `folder`: those that are seen to have gone and, of writers that cannot be
 * seen from here, what is older than `ageMs`, an hour unless told. What one has that is seen to live is kept, whatever
 * the clock says. What cannot be read or removed stays: nobody needs it gone.
 */
export async function sweepTemporaries(folder: string, ageMs = STALE_MS): Promise<void> {
  const { readdir, rm, lstat } = asyncFs()
  const names = await readdir(folder).catch(() => [])
  for (const name of names) {
    const written = NAME.exec(name)
    if (!written) continue
    const path = join(folder, name)
    const found = await lstat(path).catch(() => undefined)
    const there = isThere(written)
    if (!found || (there ?? Date.now() - found.mtimeMs < ageMs)) continue
    // In a folder of somebody else's things change while they are removed.
    const recursive = found.isDirectory() && found.uid === process.getuid?.()
    await rm(path, { force: true, recursive }).catch(() => {})
  }
}

/** Undefined where it cannot be seen from here. */
function isThere([, boot, namespace, pid, start]: RegExpExecArray): boolean | undefined {
  if (boot !== bootOf() || namespace !== pidNamespace()) return undefined
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false
  }
  const now = startOf(Number(pid))
  return now === undefined ? undefined : now === start
}

function bootOf(): string {
  return bootId().replaceAll("-", "").slice(0, 12)
}

/** Undefined where it cannot be read. */
function startOf(pid: number | "self"): string | undefined {
  try {
    return processStat(pid)?.startTime.toString()
  } catch {
    return undefined
  }
}
