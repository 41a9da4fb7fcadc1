import { existsSync, rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { grantedDevices } from "../granted.ts"
import type { MachineRecord } from "../machine.ts"
import type { GuestModel, LaunchPlan } from "../plan.ts"
import { readExit } from "../process/exit.ts"
import { orFull } from "../process/full.ts"
import { killGroup } from "../process/group.ts"
import { removeGroups } from "../process/group-of-vmm.ts"
import { startedIn } from "../process/identity.ts"
import { workplaceOf } from "../process/jailed.ts"
import { lastWords } from "../process/last-words.ts"
import type { Capabilities } from "../vmm.ts"
import { API_SOCKET, Api } from "./api.ts"
import { checkFirecracker } from "./check.ts"
import { drivesOf, FIRST } from "./drives.ts"
import { openLog } from "./jail/command.ts"
import { type FirecrackerPlace, LOG } from "./jail/place.ts"
import { besideStorage, handOver, storageLetGo, storageReady, volumeElsewhere } from "./storage.ts"
import { VSOCK_SOCKET, withSocket } from "./vsock.ts"
import { Wire } from "./wire.ts"

/** From spawn to the first answer: some 20 ms, and a minute where forty of them share two processors. */
export const LONGEST_START_MS = 120_000
const RETRY_MS = 1
const LOOKS = 32
const MOST_RETRY_MS = 20
/**
 * How long a Firecracker whose connection is gone may take to leave its status, and one that refused something: it may
 * be about to end.
 */
const GONE_MS = 5_000
const ALIVE_MS = 100
/** Its keeper keeps, within bounds, what is written there: of Firecracker's log no file can grow. */
const STANDARD_ERROR = "/proc/self/fd/2"

interface Starting {
  readonly found: Capabilities
  readonly plan: LaunchPlan
  readonly workplace: FirecrackerPlace
  /** What the guest writes to. */
  readonly overlay: string | undefined
  readonly model: GuestModel
  /** It goes on from a snapshot. */
  readonly resumed?: true
}

export interface StartedFirecracker {
  readonly record: MachineRecord
  readonly api: Api
  readonly wire: Wire
  /** Milliseconds from spawn to the first answer. */
  readonly spawn: number
}

/**
 * Spawns Firecracker, which has no machine yet, and gives it to `then`. If that fails, or the call is aborted before it
 * is through, Firecracker is killed, and what it said itself is the reason.
 */
export async function startFirecracker<T>(
  { found, plan, workplace, overlay, model, resumed }: Starting,
  { signal }: Call,
  then: (started: StartedFirecracker) => Promise<T>,
): Promise<T> {
  if (signal?.aborted) throw interrupted()
  const { directory } = plan
  const { jail } = workplace
  // It fails on what it left behind.
  for (const name of [API_SOCKET, VSOCK_SOCKET]) rmSync(join(directory, name), { force: true })
  const spawned = performance.now()
  const given = ["--api-sock", API_SOCKET, "--log-path", jail ? LOG : STANDARD_ERROR, "--level", "Error"]
  const argv = jail ? [...jail.argv, ...given] : [found.binary, "--id", "ovm", ...given]
  const { disk } = plan
  const shown = drivesOf(plan, { overlay, jailed: jail !== undefined }).filter(({ shown }) => shown)
  const wire = new Wire({ plan, model, ...(resumed && { resumed }) })
  const { group, log: logOpen } = await spawnHeld(wire, workplace, () =>
    besideStorage(argv, directory, { drives: shown, workplace }),
  )
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(interrupted())
  signal?.addEventListener("abort", abort)
  let api: Api | undefined
  let patience = GONE_MS
  try {
    api = await Promise.race([firstContact(directory, signal), aborted.promise]).finally(() =>
      logOpen?.[Symbol.dispose](),
    )
    patience = ALIVE_MS
    api.closed.then(() => {
      patience = GONE_MS
    })
    const version = await Promise.race([versionOf(api), aborted.promise])
    const spawn = performance.now() - spawned
    const identity = await startedIn(directory)
    if (!identity) throw new OvmError("OVM_VMM_FAILED", `no pid of Firecracker was left in ${directory}`)
    const { name, accelerator } = found
    const granted = grantedDevices(plan, checkFirecracker(plan, { fault: () => undefined }))
    const what = { vmm: name, version, accelerator, model, ...identity }
    const own = {
      ...(shown.length > 0 && { storage: true }),
      ...(shown.some(({ id }) => id === FIRST) && { shown: true }),
      written: shown.filter(({ id, writable }) => id !== FIRST && writable).map(({ file }) => file),
      ...(disk && { diskSize: disk.size, ephemeral: disk.ephemeral === true }),
      ...(resumed && { resumed }),
      ...(jail && { jailed: true }),
    }
    const record = {
      ...{ ...what, ...withSocket(granted, jail !== undefined) },
      ...(overlay !== undefined && { overlay }),
      own,
    }
    if (shown.length > 0) await Promise.race([storageReady(directory), aborted.promise])
    if (jail) {
      handOver(shown, record.pid, jail)
      rmSync(jail.program, { force: true })
    }
    return await Promise.race([then({ record, api, wire, spawn }), aborted.promise])
  } catch (thrown) {
    wire[Symbol.dispose]()
    const said = await inItsOwnWords(directory, toOvmError(thrown), patience, jail !== undefined)
    const error = orFull(said, directory)
    api?.close()
    await killGroup(group)
    removeGroups(directory)
    throw volumeElsewhere(plan, error.message) ?? error
  } finally {
    signal?.removeEventListener("abort", abort)
  }
}

/** Spawns it, with the log of its jail held open. If that cannot be, the wire is let go of. */
async function spawnHeld(wire: Wire, { folder, jail }: FirecrackerPlace, argv: () => readonly string[]) {
  using undo = new DisposableStack()
  undo.use(wire)
  const log = jail && undo.use(openLog(folder))
  const kept = await wire.spawn(argv())
  undo.move()
  return { ...kept, log }
}

/**
 * Tries until it answers or has ended: the socket appears a few ms after the process. Once the call is aborted, the
 * next socket in the directory is another Firecracker's.
 */
async function firstContact(directory: string, signal: AbortSignal | undefined): Promise<Api> {
  const began = performance.now()
  for (;;) {
    if (signal?.aborted) throw interrupted()
    const waited = performance.now() - began
    if (waited > LONGEST_START_MS)
      throw new OvmError("OVM_VMM_TIMEOUT", `Firecracker did not open its API within ${LONGEST_START_MS} ms`)
    // A look costs less than a call that fails, and Firecracker wants the processors now.
    const api = existsSync(join(workplaceOf(directory), API_SOCKET)) ? await Api.dial(directory) : undefined
    if (api && !signal?.aborted) return api
    api?.close()
    if ((await readExit(directory)) !== undefined)
      throw new OvmError("OVM_VMM_FAILED", "Firecracker ended before it opened its API")
    await sleep(Math.min(Math.max(RETRY_MS, waited / LOOKS), MOST_RETRY_MS))
  }
}

/** What answers says who it is: the record is of that. */
async function versionOf(api: Api): Promise<string> {
  const answer = (await api.ask("GET", "/version", undefined, LONGEST_START_MS)) as
    | { readonly firecracker_version?: unknown }
    | undefined
  const version = answer?.firecracker_version
  if (typeof version === "string" && /^\d+\.\d+\.\d+/.test(version)) return version
  throw new OvmError("OVM_VMM_FAILED", "what answers in place of Firecracker does not say its version")
}

/** A start that failed because Firecracker ended is told in its own words. */
async function inItsOwnWords(
  directory: string,
  error: OvmError,
  patienceMs: number,
  jailed: boolean,
): Promise<OvmError> {
  if (error.code !== "OVM_VMM_FAILED") return error
  let last = await lastWords(directory, patienceMs)
  // What carries the log of a jail is not through yet.
  if (last && jailed) {
    await storageLetGo(directory)
    last = await lastWords(directory, 0)
  }
  if (!last) return error
  const { status, words } = last
  return new OvmError("OVM_VMM_FAILED", `${error.message} (status ${status}): ${words}`, {
    cause: error,
    detail: { status, message: words },
  })
}

function interrupted(): OvmError {
  return new OvmError("OVM_INTERRUPTED", "starting the machine was interrupted")
}
