import { existsSync, rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import { FILTER_SOCKET } from "../../network/filter.ts"
import { NetworkLink } from "../../network/link.ts"
import type { MachineLink } from "../../network/machine-link.ts"
import { TapLink } from "../../network/named/tap.ts"
import { findPasst } from "../../network/passt.ts"
import type { MachineRecord } from "../machine.ts"
import type { LaunchPlan } from "../plan.ts"
import { startLink } from "../process/added-ports.ts"
import { readExit } from "../process/exit.ts"
import { orFull } from "../process/full.ts"
import { killGroup } from "../process/group.ts"
import { removeGroups } from "../process/group-of-vmm.ts"
import { isHeld } from "../process/held.ts"
import { startedIn } from "../process/identity.ts"
import { lastWords } from "../process/last-words.ts"
import { spawnLinked } from "../process/linked.ts"
import { serveShares } from "../virtiofs/shares.ts"
import { type QemuOptions, qemuArguments } from "./arguments.ts"
import type { QemuCapabilities } from "./capabilities.ts"
import { devicesOf } from "./devices.ts"
import { lockedVolume } from "./locked.ts"
import { carrierOf } from "./network.ts"
import { dialQmp, QMP_SOCKET, type Qmp } from "./qmp.ts"
import { TRACE_FILE } from "./trace.ts"
import { mostServed } from "./virtiofs.ts"
import { GuestWatch } from "./watch.ts"

/** From spawn to the monitor's greeting: some 50 ms, and a minute where forty of them share two processors. */
export const START_MS = 120_000
const RETRY_MS = 1
/** The part of the time waited so far that the next look at a start comes later, and the longest that it does. */
const LOOKS = 32
const MOST_RETRY_MS = 20
/**
 * How long a QEMU whose monitor is gone may take to leave its status, and one that refused something: it may be about
 * to end.
 */
const GONE_MS = 5_000
/** Between two looks whether there still is a QEMU, or a keeper that would say how it ended. */
const THERE_MS = 250
const ALIVE_MS = 100

/** A QEMU whose monitor listens, with the guest stopped. What it is asked, it answers once it has started. */
export interface Started {
  readonly record: MachineRecord
  readonly qmp: Qmp
  readonly watch: GuestWatch
  /** What is to carry its frames; absent if nothing is. Whoever does not start it lets go of it. */
  readonly link?: MachineLink
  /** Milliseconds from spawn to the first answer, and from then until now. */
  timings(): Promise<{ readonly spawn: number; readonly load: number }>
}

/** What is started: which QEMU, for what, and with which of the adapter's own decisions. */
export interface Start {
  readonly found: QemuCapabilities
  readonly plan: LaunchPlan
  readonly options: QemuOptions
  /** Its ports are open before it is spoken to; else whoever gets it starts what carries them. */
  readonly portsFirst?: boolean
}

/**
 * Spawns QEMU and gives it to `then`. If that fails, or the call is aborted before it is through, QEMU is killed, and
 * what it said itself is the reason.
 */
export async function startQemu<T>(
  { found, plan, options, portsFirst }: Start,
  { signal }: Call,
  then: (started: Started) => Promise<T>,
): Promise<T> {
  for (const name of [QMP_SOCKET, TRACE_FILE, FILTER_SOCKET])
    rmSync(join(plan.directory, name), { force: true })
  if (signal?.aborted) throw interrupted()
  const watch = new GuestWatch()
  const spawned = performance.now()
  using served = await serveShares(plan, { most: mostServed(plan), accelerator: options.accelerator })
  const tags = served.servers.map(({ tag }) => tag)
  const link = linkOf(plan, options)
  const argv = [found.binary, ...qemuArguments(plan, { ...options, served: tags })]
  const { group } = await spawnLinked(link, argv, plan, served.vmmEnds)
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const abort = () => aborted.reject(interrupted())
  signal?.addEventListener("abort", abort)
  let qmp: Qmp | undefined
  let patience = GONE_MS
  try {
    // A guest that runs has its ports open. QEMU 7.2 may lose a command that comes while it answers the first one: so
    // the monitor is asked for everything at once, and nothing is waited for after its first word.
    if (portsFirst && plan.network && link)
      await Promise.race([startLink(link, plan.directory, plan.network), aborted.promise])
    qmp = await Promise.race([firstContact(plan.directory, watch, signal), aborted.promise])
    patience = ALIVE_MS
    qmp.closed.then(() => {
      patience = GONE_MS
    })
    const answered = qmp.ready.then(() => performance.now())
    answered.catch(() => {})
    const timings = async () => {
      const now = performance.now()
      const at = await answered
      // Both may have come in one piece, and be looked at in either order.
      return { spawn: at - spawned, load: Math.max(0, now - at) }
    }
    const identity = await startedIn(plan.directory)
    if (!identity) throw noPid(plan.directory)
    const { accelerator, model, generationId, overlay } = options
    const what = { vmm: "qemu", version: found.version, accelerator, directory: plan.directory }
    const devices = devicesOf(plan, model.devices)
    const record = {
      ...{ ...what, ...identity, model, generationId },
      ...(devices.length > 0 && { devices }),
      ...(overlay !== undefined && { overlay }),
      ...(tags.length > 0 && { shareServers: served.servers }),
      ...(served.failure !== undefined && { shareFailure: served.failure }),
    }
    const started = { record, qmp, watch, timings, ...(link && { link }) }
    return await Promise.race([then(started), aborted.promise])
  } catch (thrown) {
    link?.[Symbol.dispose]()
    const error = orFull(await inItsOwnWords(plan, toOvmError(thrown), patience), plan.directory)
    qmp?.close()
    await killGroup(group)
    removeGroups(plan.directory)
    throw error
  } finally {
    signal?.removeEventListener("abort", abort)
  }
}

/** Throws OVM_HOST_FAILED if the passt that was there for the check is gone, and what TapLink throws. */
function linkOf({ network, directory }: LaunchPlan, { model }: QemuOptions): MachineLink | undefined {
  const carrier = carrierOf(network, model.devices)
  if (carrier === "tap" && network?.bridge) return new TapLink(network.bridge, directory)
  if (carrier !== "passt") return undefined
  const program = findPasst()
  if (program === undefined) throw new OvmError("OVM_HOST_FAILED", "passt is not on PATH any more")
  return new NetworkLink(program, directory)
}

/** The keeper could not write it down, and QEMU runs all the same. */
function noPid(directory: string): OvmError {
  const why = `no pid of QEMU was left in ${directory}`
  return orFull(new OvmError("OVM_VMM_FAILED", why), directory)
}

/**
 * Tries until the monitor answers or QEMU has ended: the socket appears a few ms after the process. Once the call is
 * aborted, the next socket in the directory is another QEMU's, whose monitor serves one client alone.
 */
async function firstContact(
  directory: string,
  watch: GuestWatch,
  signal: AbortSignal | undefined,
): Promise<Qmp> {
  const began = performance.now()
  for (let looked = 0; ; ) {
    if (signal?.aborted) throw interrupted()
    const waited = performance.now() - began
    const there = waited - looked < THERE_MS || isHeld(directory) !== false
    if (waited - looked >= THERE_MS) looked = waited
    const left = START_MS - waited
    if (left <= 0)
      throw new OvmError("OVM_VMM_TIMEOUT", `QEMU did not open its monitor within ${START_MS} ms`)
    // A look costs less than a call that fails, and QEMU wants the processors now.
    if (existsSync(join(directory, QMP_SOCKET))) {
      const qmp = await dialQmp(directory, { timeoutMs: left, onEvent: watch.onEvent })
      if (qmp && !signal?.aborted) return qmp
      qmp?.close()
    }
    if ((await readExit(directory)) !== undefined)
      throw new OvmError("OVM_VMM_FAILED", "QEMU ended before it opened its monitor")
    if (!there)
      throw new OvmError("OVM_VMM_FAILED", "QEMU and its keeper were killed before it opened its monitor")
    // The longer it takes, the busier is the host, with other starts as a rule.
    await sleep(Math.min(Math.max(RETRY_MS, waited / LOOKS), MOST_RETRY_MS))
  }
}

/** A start that failed because QEMU ended is told in QEMU's words. */
async function inItsOwnWords(plan: LaunchPlan, error: OvmError, patienceMs: number): Promise<OvmError> {
  const { directory } = plan
  if (error.code !== "OVM_VMM_FAILED") return error
  const last = await lastWords(directory, patienceMs)
  if (!last) return error
  const { status, words } = last
  const locked = lockedVolume(plan, words)
  if (locked) return locked
  return new OvmError("OVM_VMM_FAILED", `QEMU could not start (status ${status}): ${words}`, {
    cause: error,
    detail: { status, message: words },
  })
}

function interrupted(): OvmError {
  return new OvmError("OVM_INTERRUPTED", "starting the machine was interrupted")
}
