import { OvmError } from "../errors.ts"
import { ifPresent } from "../files/present.ts"
import { readRegular } from "../files/regular.ts"
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
  const { $schema: _, limits = {}, vmms, ...unknown } = objectOf(jsonOf(text, path), path, "")
  const [odd] = Object.keys(unknown)
  if (odd !== undefined) throw invalid(path, odd, "there is no such field")
  const set = Object.entries(objectOf(limits, path, "limits")).map(([name, value]) => {
    const range = Object.hasOwn(RANGES, name) ? RANGES[name as keyof Limits] : undefined
    if (!range) throw invalid(path, `limits.${name}`, "there is no such field")
    const [from, to] = range
    if (!Number.isSafeInteger(value) || Number(value) < from || Number(value) > to)
      throw invalid(path, `limits.${name}`, `it is not a whole number from ${from} to ${to}`)
    return [name, value]
  })
  if (vmms !== undefined && !isNames(vmms)) throw invalid(path, "vmms", "it is not a list of names")
  return { limits: { ...LIMITS, ...Object.fromEntries(set) }, ...(vmms !== undefined && { vmms }) }
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw invalid(path, "", "it is not JSON", cause)
  }
}

function objectOf(value: unknown, path: string, field: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw invalid(path, field, "it is not an object")
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === "string")
}

function invalid(path: string, field: string, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_SETTINGS_INVALID", `${path}${field && `: ${field}`}: ${reason}`, { cause })
}
