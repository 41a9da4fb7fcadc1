import { existsSync } from "node:fs"
import type { Command } from "commander"
import { toOvmError } from "../../../errors.ts"
import { diskUsage } from "../../../files/disk-usage.ts"
import { lockHolder } from "../../../host/lock-holder.ts"
import { type Paths, paths } from "../../../host/paths.ts"
import type { RuntimeInfo, VmmInfo } from "../../../runtime/interfaces.ts"
import type { Defaults, Limits } from "../../../runtime/limits.ts"
import { VERSION } from "../../../version.ts"
import type { JailSettings } from "../../../vmm/firecracker/jail/settings.ts"
import { type CacheUse, cacheUse, describeCache } from "../../cache-use.ts"
import { findDaemon, socketOf } from "../../daemon.ts"
import { formatSize } from "../../format.ts"
import { printJson } from "../../output.ts"
import { ownCache } from "../../own-cache.ts"
import { examples } from "../../terminal/examples.ts"
import { printListing } from "../../terminal/lines.ts"

interface InfoOptions {
  readonly json?: boolean
}

interface Info {
  readonly version: string
  readonly paths: Paths
  /** Bytes on disk. */
  readonly store_size: number
  /** What was made of content, and can be made again. */
  readonly cache: CacheUse
  readonly daemon: Daemon
  readonly instances?: RuntimeInfo["instances"]
  readonly warm?: RuntimeInfo["warm"]
  /** Of the daemon, or what one would find. */
  readonly policy: RuntimeInfo["policy"]
  readonly vmms: readonly VmmInfo[]
  /** What the next daemon would begin with. */
  readonly settings: Settings
}

interface Settings {
  readonly path: string
  readonly present: boolean
  readonly limits?: ReturnType<typeof limitsModel>
  readonly defaults?: ReturnType<typeof defaultsModel>
  readonly vmms?: readonly string[]
  readonly jail?: JailSettings
  readonly error?: { readonly code: string; readonly message: string }
}

interface Daemon {
  readonly running: boolean
  readonly pid?: number
  readonly version?: string
  /** Why one that runs does not answer. */
  readonly error?: { readonly code: string; readonly message: string }
}

export function define(command: Command): void {
  command
    .description(
      "Show where state lives, whether a daemon runs, and which virtual machine monitors work here and how " +
        "fast.",
    )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm info", "ovm info --json")
}

async function run(options: InfoOptions): Promise<void> {
  const info = await collect()
  if (options.json) printJson(info)
  else printListing(lines(info))
}

async function collect(): Promise<Info> {
  const place = paths()
  const { state, info: daemon } = await askDaemon()
  return {
    version: VERSION,
    // Where it is may be another daemon's choice than this environment's.
    paths: { ...place, socket: socketOf(place) },
    store_size: await diskUsage(place.store),
    cache: await cacheUse(place.cache),
    daemon: state,
    ...(daemon && { instances: daemon.instances, warm: daemon.warm }),
    policy: daemon?.policy ?? (await localPolicy(place)),
    vmms: daemon?.vmms ?? (await localVmms(place)),
    settings: await settingsAt(place.settings),
  }
}

/** One that hangs is what somebody who asks for this wants to know of. */
async function askDaemon(): Promise<{ state: Daemon; info?: RuntimeInfo }> {
  try {
    const info = await (await findDaemon())?.info()
    return info
      ? { state: { running: true, pid: info.pid, version: info.version }, info }
      : { state: { running: false } }
  } catch (thrown) {
    const { code, message } = toOvmError(thrown)
    if (code !== "OVM_DAEMON_UNREACHABLE") throw thrown
    const pid = lockHolder(paths().lock)
    return { state: { running: true, ...(pid !== undefined && { pid }), error: { code, message } } }
  }
}

async function settingsAt(path: string): Promise<Settings> {
  const where = { path, present: existsSync(path) }
  try {
    const { readDaemonSettings } = await import("../../../runtime/settings.ts")
    const { limits, defaults, vmms, jail } = await readDaemonSettings(path)
    const read = { limits: limitsModel(limits), defaults: defaultsModel(defaults) }
    return { ...where, ...read, ...(vmms && { vmms }), ...(jail !== undefined && { jail }) }
  } catch (thrown) {
    const { code, message } = toOvmError(thrown)
    return { ...where, error: { code, message } }
  }
}

/** Under the names that all JSON of this program has; the file has its own. */
function limitsModel({ running, instances, console, warmMemory, warmReserve, machine }: Limits) {
  const { cpuQuota, ...most } = machine
  const each = { ...most, ...(cpuQuota !== undefined && { cpu_quota: cpuQuota }) }
  return { running, instances, console, warm_memory: warmMemory, warm_reserve: warmReserve, machine: each }
}

function defaultsModel({ vcpus, memory, graceMs, network, cpuQuota }: Defaults) {
  const quota = cpuQuota === undefined ? {} : { cpu_quota: cpuQuota }
  return { vcpus, memory, grace_ms: graceMs, network, ...quota }
}

/** What a daemon would find: the answer does not depend on one. */
async function localVmms(place: Paths): Promise<readonly VmmInfo[]> {
  const { availableVmms, spokenOf } = await import("../../../vmm/available.ts")
  const { describe } = await import("../../../runtime/report.ts")
  return Promise.all(
    spokenOf(availableVmms(ownCache(place), undefined, await jailAt(place.settings))).map(describe),
  )
}

/** What is wrong with the settings is said beside. */
async function jailAt(path: string): Promise<JailSettings | undefined> {
  const { readDaemonSettings } = await import("../../../runtime/settings.ts")
  return await readDaemonSettings(path).then(
    ({ jail }) => jail,
    () => undefined,
  )
}

async function localPolicy(place: Paths): Promise<RuntimeInfo["policy"]> {
  const { Policy } = await import("../../../signing/policy/policy.ts")
  const { error, ...policy } = await new Policy(place.policy).info()
  return { ...policy, ...(error && { error: { code: error.code, message: error.message } }) }
}

function lines({
  version,
  paths: place,
  store_size,
  cache,
  daemon,
  instances,
  warm = [],
  policy,
  vmms,
  settings,
}: Info): [string, string | undefined][] {
  return [
    ["version", version],
    ["root", place.root],
    ["store", `${place.store} (${formatSize(store_size)})`],
    ["cache", `${place.cache} (${describeCache(cache)})`],
    ["instances", place.instances],
    ["socket", place.socket],
    ["log", place.log],
    ["registries", place.registries],
    ["policy", describePolicy(policy)],
    ["settings", describeSettings(settings)],
    ["daemon", describeDaemon(daemon)],
    [
      "machines",
      instances && `${instances.running} of at most ${instances.limit} running, ${instances.total} on record`,
    ],
    ...warm.map((one): [string, string] => ["warm", describeWarm(one)]),
    ...vmms.map((vmm): [string, string] => ["vmm", describeVmm(vmm)]),
  ]
}

function describeDaemon({ running, pid, version, error }: Daemon): string {
  if (error) return `${error.code}: ${error.message}`
  return running ? `running, pid ${pid}, version ${version}` : "not running"
}

function describeSettings({ path, present, limits, defaults, error }: Settings): string {
  if (error) return `${error.code}: ${error.message}; nothing starts`
  if (!present || !limits || !defaults) return `none (${path})`
  const { running, instances, console, warm_memory, warm_reserve } = limits
  const slots = `slots of ${formatSize(warm_memory)} that leave ${formatSize(warm_reserve)}`
  const { vcpus, memory, grace_ms, network, cpu_quota } = defaults
  const share = cpu_quota === undefined ? "" : ` with ${cpu_quota} processors' time`
  const usual = `${vcpus} vCPU${share}, ${formatSize(memory)} and ${grace_ms} ms to power off unless told, network ${network}`
  return `${path}: ${running} running, ${instances} on record, ${formatSize(console)} of console, ${slots}; ${usual}`
}

function describePolicy({ file, active, error }: RuntimeInfo["policy"]): string {
  if (error) return `${error.code}: ${error.message}; nothing starts`
  return active ? file : `none (${file})`
}

function describeWarm({ reference, ready, wanted, demand, reason }: RuntimeInfo["warm"][number]): string {
  const why = reason ? `: ${reason.message}` : demand === undefined ? "" : " (sandboxes)"
  return `${reference}, ${ready} of ${demand ?? wanted} ready${why}`
}

function describeVmm(vmm: VmmInfo): string {
  if ("error" in vmm) return `${vmm.name}: ${vmm.error.message}`
  const accelerator = `${vmm.accelerator}: ${vmm.accelerator_reason}`
  // OVMS-SEC-033; QEMU: docs/system/security.rst.
  const emulated =
    vmm.accelerator === "tcg" ? "; emulation is slow, and no isolation from a hostile guest" : ""
  const jailed =
    vmm.jailed === undefined ? "" : `; ${vmm.jailed ? "jailed" : "not jailed"}: ${vmm.jailed_reason}`
  return `${vmm.name} ${vmm.version} (${vmm.binary}), ${accelerator}${emulated}${jailed}`
}
