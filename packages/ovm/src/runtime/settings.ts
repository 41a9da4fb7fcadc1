import type { OvmError } from "../errors.ts"
import { settingsBytes, settingsError, settingsIn } from "../files/settings-file.ts"
import { MACHINE_BOUNDS } from "../machine-bounds.ts"
import { isObject } from "../objects.ts"
import { isAdapterName, noAdapterName } from "../vmm/exec/find.ts"
import { UIDS, type UidRange } from "../vmm/firecracker/jail/settings.ts"
import { DEFAULTS, type Defaults, LIMITS, type Limits, type MachineLimits, MOST_GRACE_MS } from "./limits.ts"

/** What an operator says about one host's daemon (docs/daemon.md). */
export interface DaemonSettings {
  readonly limits: Limits
  readonly defaults: Defaults
  /** Names of the VMMs that may be used, the preferred one first; all that there are unless said. */
  readonly vmms?: readonly string[]
  /** Of VMMs that have jails: the user ids of those, or false for none; as the VMM has it unless said. */
  readonly jail?: UidRange | false
}

const FILE_LIMIT = 64 << 10

/** From and up to which number an operator may set something. */
interface Range {
  readonly from: number
  readonly to: number
  /** It is to be a multiple of this. */
  readonly step?: number
  /** It need not be a whole number. */
  readonly fraction?: true
}

const LIMIT_RANGES: Readonly<Record<Exclude<keyof Limits, "machine">, Range>> = {
  running: { from: 1, to: 4096 },
  instances: { from: 1, to: 65_536 },
  console: { from: 4096, to: 2 ** 32 },
  warmMemory: { from: 0, to: 2 ** 44 },
  warmReserve: { from: 0, to: 2 ** 44 },
}

/** As a manifest may ask for them (spec/limits.md), and a request for a stop. */
const DEFAULT_RANGES: Readonly<Record<Exclude<keyof Defaults, "network" | "machine">, Range>> = {
  ...MACHINE_BOUNDS,
  graceMs: { from: 0, to: MOST_GRACE_MS },
  cpuQuota: { from: 0.01, to: 255, fraction: true },
}

/** None of those that users of 16 bits have: root and nobody are among them. */
const JAIL_RANGES: Readonly<Record<keyof UidRange, Range>> = {
  from: { from: 65_536, to: 4_000_000_000 },
  count: { from: 1, to: 2 ** 20 },
}

const { vcpus, memory, cpuQuota } = DEFAULT_RANGES
const WEIGHTS = { from: 1, to: 10_000 }
const MACHINE_RANGES: Readonly<Record<keyof MachineLimits, Range>> = {
  ...{ vcpus, memory, cpuQuota },
  memoryOverhead: { from: 32 << 20, to: 2 ** 44 },
  pids: { from: 16, to: 2 ** 22 },
  cpuWeight: WEIGHTS,
  ioWeight: WEIGHTS,
}

/**
 * Reads the file `path`; without it everything is as specified (spec/limits.md). Throws OVM_SETTINGS_INVALID naming the
 * file and the field, OVM_FILE_UNREADABLE, OVM_TOO_LARGE.
 */
export async function readDaemonSettings(path: string): Promise<DaemonSettings> {
  const bytes = await settingsBytes(path, FILE_LIMIT)
  return bytes === undefined
    ? { limits: LIMITS, defaults: DEFAULTS }
    : parse(new TextDecoder().decode(bytes), path)
}

function parse(text: string, path: string): DaemonSettings {
  const invalid = (field: string, reason: string) => settingsError(path, field, reason)
  const settings = settingsIn(text, (reason, cause) => settingsError(path, "", reason, { cause }))
  const { $schema: _, limits = {}, defaults = {}, vmms, jail, ...unknown } = settings
  const [odd] = Object.keys(unknown)
  if (odd !== undefined) throw invalid(odd, "there is no such field")
  if (vmms !== undefined && !isNames(vmms)) throw invalid("vmms", "it is not a list of names")
  const strange = vmms?.findIndex((name) => !isAdapterName(name)) ?? -1
  if (strange >= 0) throw invalid(`vmms[${strange}]`, noAdapterName(vmms?.[strange] ?? ""))
  if (!isObject(limits)) throw invalid("limits", "it is not an object")
  const { machine = {}, ...counts } = limits
  if (!isObject(defaults)) throw invalid("defaults", "it is not an object")
  const { network = DEFAULTS.network, ...others } = defaults
  if (network !== "user" && network !== "none")
    throw invalid("defaults.network", "it is neither user nor none")
  return {
    limits: {
      ...LIMITS,
      ...numbers("limits", counts, LIMIT_RANGES, invalid),
      machine: numbers("limits.machine", machine, MACHINE_RANGES, invalid),
    },
    defaults: { ...DEFAULTS, network, ...numbers("defaults", others, DEFAULT_RANGES, invalid) },
    ...(vmms !== undefined && { vmms }),
    ...(jail !== undefined && { jail: jailOf(jail, invalid) }),
  }
}

function jailOf(value: unknown, invalid: (field: string, reason: string) => OvmError): UidRange | false {
  if (value === false) return false
  if (!isObject(value)) throw invalid("jail", "it is neither false nor an object")
  return { ...UIDS, ...numbers("jail", value, JAIL_RANGES, invalid) }
}

/** The members of the object at `field`, each of which is to be a number in its range. Throws what `invalid` makes. */
function numbers<Name extends string>(
  field: string,
  value: unknown,
  ranges: Readonly<Record<Name, Range>>,
  invalid: (field: string, reason: string) => OvmError,
): Partial<Record<Name, number>> {
  if (!isObject(value)) throw invalid(field, "it is not an object")
  for (const [name, number] of Object.entries(value)) {
    if (!Object.hasOwn(ranges, name)) throw invalid(`${field}.${name}`, "there is no such field")
    const { from, to, step = 1, fraction = false } = ranges[name as Name]
    if (
      (fraction ? Number.isFinite(number) : Number.isSafeInteger(number)) &&
      Number(number) >= from &&
      Number(number) <= to &&
      (fraction || Number(number) % step === 0)
    )
      continue
    const steps = step === 1 ? "" : ` in steps of ${step}`
    throw invalid(
      `${field}.${name}`,
      `it is not a ${fraction ? "" : "whole "}number from ${from} to ${to}${steps}`,
    )
  }
  return value as Partial<Record<Name, number>>
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === "string")
}
