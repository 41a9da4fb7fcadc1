import { readFileSync, readlinkSync, realpathSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../../errors.ts"
import { bootId } from "../../host/boot-id.ts"
import { isDefunct, pids, processStat } from "../../host/process-stat.ts"
import { removeGroups } from "./group-of-vmm.ts"
import { endHelpers } from "./helpers.ts"
import { type Identity, isAlive, kill, startedIn } from "./identity.ts"
import { workplaceOf, worksIn } from "./jailed.ts"
import { KEEPER } from "./keeper-program.ts"

const LONGEST_MS = 5000
const PAUSE_MS = 5
/** What is left of the keeper after that has nobody to wait for. */
const KEEPERS_MS = 1000
/** The keeper, and what it consisted of in versions that had a shell in its place, whose machines may run still. */
const KEEPERS = new Set([KEEPER, "sh", "head", "cat", "dd", "rm", "mv", "wc"])
/** The name that this shell had in its arguments. */
const OLDER_KEEPER = "ovm-vmm"

interface Inhabitant extends Identity {
  readonly name: string
}

/**
 * The processes that a keeper has started in `directory`, the keeper included, whatever became of its files: they
 * work there, in a session whose leader is a keeper or has ended. Not somebody's shell that happens to be there.
 */
async function inhabitants(directory: string): Promise<Inhabitant[]> {
  const here = bootId()
  const place = attempt(() => realpathSync(directory)) ?? directory
  const isJailed = workplaceOf(directory) !== directory
  return pids().flatMap((pid) => {
    if (pid === process.pid) return []
    const works = attempt(() => readlinkSync(`/proc/${pid}/cwd`))
    // A process in a jail is said to work in the root of all.
    if (works !== place && (works !== "/" || !isJailed || !attempt(() => worksIn(pid, directory)))) return []
    const stat = attempt(() => processStat(pid))
    if (!stat || isDefunct(stat) || stat.terminal !== 0 || !isKeeper(stat.session)) return []
    return [{ directory, bootId: here, pid, startTime: stat.startTime, name: stat.name }]
  })
}

/** The session's leader is a keeper, or nobody any more. */
function isKeeper(session: number): boolean {
  // Of one that has ended and that nobody has looked at yet nothing is left to read.
  const words = attempt(() => readFileSync(`/proc/${session}/cmdline`, "utf8"))?.split("\0") ?? [""]
  return words[0] === "" || words[0] === KEEPER || words.includes(OLDER_KEEPER)
}

/** The VMM that lives in `directory`, by the keeper's note or, should that be gone, by where it works. */
export async function vmmIn(directory: string): Promise<Identity | undefined> {
  const noted = await livingIn(directory)
  if (noted) return noted
  return (await inhabitants(directory)).find(({ name }) => !KEEPERS.has(name))
}

/** By the keeper's note. */
async function livingIn(directory: string): Promise<Identity | undefined> {
  // A note that cannot be read is none: what works there is found all the same.
  const noted = await startedIn(directory).catch(() => undefined)
  return noted && (await isAlive(noted)) ? noted : undefined
}

/** True as long as anything of a keeper in `directory` may still write there. */
export async function isInhabited(directory: string): Promise<boolean> {
  const found = await inhabitants(directory).catch(() => undefined)
  // Where nobody can look, somebody may be.
  return found === undefined || found.length > 0
}

/**
 * Kills the VMM in `directory` with its keeper and all below that, and returns once they are gone; true if there was
 * something to end. Throws OVM_VMM_TIMEOUT if they are not gone after five seconds, like those that wait for a device.
 */
export async function endStray(directory: string): Promise<boolean> {
  for (let waited = 0; ; waited += PAUSE_MS) {
    const noted = await livingIn(directory)
    const left = await inhabitants(directory)
    const all: (Identity & { name?: string })[] = noted ? [noted, ...left] : left
    if (all.length === 0) {
      removeGroups(directory)
      await endHelpers(directory)
      return waited > 0
    }
    if (waited > LONGEST_MS) throw unkillable(directory, all[0]?.pid)
    // The keeper has a moment to write down how the VMM ended.
    const now = waited < KEEPERS_MS ? all.filter(({ name }) => !KEEPERS.has(name ?? "")) : all
    await Promise.all(now.map((one) => kill(one)))
    await sleep(PAUSE_MS)
  }
}

export function unkillable(directory: string, pid: number | undefined): OvmError {
  return new OvmError(
    "OVM_VMM_TIMEOUT",
    `process ${pid} in ${directory} has not ended ${LONGEST_MS} ms after SIGKILL: the kernel does not let it go`,
  )
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}
