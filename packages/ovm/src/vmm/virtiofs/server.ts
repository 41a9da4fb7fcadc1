import { spawn } from "node:child_process"
import { closeSync } from "node:fs"
import { OvmError } from "../../errors.ts"
import { listeningPair } from "../../host/libc.ts"
import type { SharePlan } from "../plan.ts"
import { noteHelper } from "../process/helpers.ts"
import { type Identity, identityOf } from "../process/identity.ts"
import { virtiofsdArguments } from "./program.ts"

/** How long it may take until it serves: 30 ms, and longer on a host that is far too busy. */
const START_MS = 10_000
/** Of what it says when it does not start. */
const MOST_WORDS = 2000
/** Its end of the connection, of its descriptors. */
const CONNECTION = 3
/** What it says once it has taken its one client. */
const SERVES = /Client connected/

/** A folder that is served. Who serves it ends by itself once nobody holds the VMM's end, however that came. */
export interface ServedFolder extends Disposable {
  /** For the VMM to inherit; this process's is closed with it. */
  readonly vmmEnd: number
  readonly server: Identity
}

/**
 * Has `program` serve the folder of `share` to the VMM that works in `directory`. Throws OVM_HOST_FAILED, OVM_TOO_MANY.
 */
export async function serveFolder(
  program: string,
  share: SharePlan,
  directory: string,
): Promise<ServedFolder> {
  const [listener, vmmEnd] = listeningPair(directory)
  try {
    const server = await started(
      program,
      virtiofsdArguments(share, CONNECTION, currentUser()),
      listener,
      directory,
    )
    return { vmmEnd, server, [Symbol.dispose]: () => closeSync(vmmEnd) }
  } catch (thrown) {
    // One that is about to serve sees its only client go.
    closeSync(vmmEnd)
    throw thrown
  } finally {
    closeSync(listener)
  }
}

function currentUser(): { readonly uid: number; readonly gid: number } {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 }
}

async function started(
  program: string,
  args: readonly string[],
  listener: number,
  directory: string,
): Promise<Identity> {
  const child = spawn(program, [...args], {
    cwd: "/",
    detached: true,
    stdio: ["ignore", "ignore", "pipe", listener],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
  })
  let words = ""
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = setTimeout(() => reject(new Error(`not within ${START_MS / 1000} s`)), START_MS)
  child.once("error", reject)
  child.once("close", (code, by) => reject(new Error(code === null ? `ended by ${by}` : `status ${code}`)))
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-MOST_WORDS)
    if (SERVES.test(words)) resolve()
  })
  try {
    await promise
    const identity = identityOf(directory, child.pid)
    if (!identity) throw new Error("it has ended")
    noteHelper(directory, child.pid, "share")
    return identity
  } catch (cause) {
    child.kill("SIGKILL")
    const how = cause instanceof Error ? cause.message : String(cause)
    throw new OvmError("OVM_HOST_FAILED", `virtiofsd did not start (${how}): ${words.trim()}`, { cause })
  } finally {
    clearTimeout(timer)
    child.stderr?.destroy()
    child.unref()
  }
}
