import { type BigIntStats, statSync } from "node:fs"
import { OvmError } from "../errors.ts"
import { type Lock, lock } from "../host/lock.ts"
import type { Paths } from "../host/paths.ts"

/** A client that looks whether there is a daemon has the lock for a moment. */
const LOCK_MS = 250
/** How often a daemon looks whether its root is its own still. */
const LOOK_MS = 1000

export interface HeldRoot extends Disposable {
  /** Comes, with an error, once the lock's file was removed or replaced: whoever comes next has the root. */
  readonly lost: AbortSignal
}

/** Has the root for one daemon alone. Throws OVM_DAEMON_RUNNING where another one has it. */
export async function holdRoot({ root, lock: path }: Pick<Paths, "root" | "lock">): Promise<HeldRoot> {
  const held = await locked(root, path)
  const own = statSync(path, { bigint: true })
  const lost = new AbortController()
  const look = () => {
    if (!isStill(path, own))
      lost.abort(
        new OvmError(
          "OVM_FILE_UNREADABLE",
          `${path} was removed or replaced: ${root} may be another daemon's`,
        ),
      )
  }
  const timer = setInterval(look, LOOK_MS).unref()
  return {
    lost: lost.signal,
    [Symbol.dispose]: () => {
      clearInterval(timer)
      held.release()
    },
  }
}

async function locked(root: string, path: string): Promise<Lock> {
  try {
    return await lock(path, "exclusive", { timeoutMs: LOCK_MS })
  } catch (cause) {
    if (!(cause instanceof OvmError && cause.code === "OVM_STORE_BUSY")) throw cause
    throw new OvmError("OVM_DAEMON_RUNNING", `another daemon has ${root}`, { cause, hint: "ovm info" })
  }
}

/** What cannot be looked at just now, as on a disk that fails, is taken for what it was. */
function isStill(path: string, { dev, ino }: BigIntStats): boolean {
  try {
    const now = statSync(path, { bigint: true, throwIfNoEntry: false })
    return now?.dev === dev && now.ino === ino
  } catch {
    return true
  }
}
