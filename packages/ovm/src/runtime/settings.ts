import { ifPresent } from "../files/present.ts"
import { readRegular } from "../files/regular.ts"
import { settingsError, settingsIn } from "../files/settings-file.ts"
import { isObject } from "../objects.ts"
import { LIMITS, type Limits } from "./limits.ts"

/** What an operator says about one host's daemon (docs/daemon.md). */
export interface DaemonSettings {
  readonly limits: Limits
  /** Names of the VMMs that may be used, the preferred one first; all that there are unless said. */
  readonly vmms?: readonly string[]
}

const FILE_LIMIT = 64 << 10

/** From and up to which number an operator may set each. */
const RANGES: Readonly<Record<keyof Limits, readonly [from: number, to: number]>> = {
  running: [1, 4096],
  instances: [1, 65_536],
  console: [4096, 2 ** 32],
  warmMemory: [0, 2 ** 44],
  warmReserve: [0, 2 ** 44],
}

/**
 * Reads the file `path`; without it everything is as specified (spec/limits.md). Throws OVM_SETTINGS_INVALID naming the file and
 * the field, OVM_FILE_UNREADABLE, OVM_TOO_LARGE.
 */
export async function readDaemonSettings(path: string): Promise<DaemonSettings> {
  const bytes = await ifPresent(readRegular(path, FILE_LIMIT))
  return bytes === undefined ? { limits: LIMITS } : parse(new TextDecoder().decode(bytes), path)
}

function parse(text: string, path: string): DaemonSettings {
  const invalid = (field: string, reason: string) => settingsError(path, field, reason)
  const settings = settingsIn(text, (reason, cause) => settingsError(path, "", reason, { cause }))
  const { $schema: _, limits = {}, vmms, ...unknown } = settings
  const [odd] = Object.keys(unknown)
  if (odd !== undefined) throw invalid(odd, "there is no such field")
  if (!isObject(limits)) throw invalid("limits", "it is not an object")
  const set = Object.entries(limits).map(([name, value]) => {
    const range = Object.hasOwn(RANGES, name) ? RANGES[name as keyof Limits] : undefined
    if (!range) throw invalid(`limits.${name}`, "there is no such field")
    const [from, to] = range
    if (!Number.isSafeInteger(value) || Number(value) < from || Number(value) > to)
      throw invalid(`limits.${name}`, `it is not a whole number from ${from} to ${to}`)
    return [name, value]
  })
  if (vmms !== undefined && !isNames(vmms)) throw invalid("vmms", "it is not a list of names")
  return { limits: { ...LIMITS, ...Object.fromEntries(set) }, ...(vmms !== undefined && { vmms }) }
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === "string")
}
