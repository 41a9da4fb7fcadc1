import { OvmError } from "../errors.ts"
import { isObject } from "../objects.ts"
import { hasEntry, ifPresent } from "./present.ts"
import { readRegular } from "./regular.ts"

/**
 * The bytes of a settings file, `limit` of them at most; undefined if there is none. A link to nothing is not the same:
 * what an operator has set must not be left out in silence. Throws what readRegular throws.
 */
export async function settingsBytes(path: string, limit: number): Promise<Uint8Array | undefined> {
  const bytes = await ifPresent(readRegular(path, limit))
  if (bytes === undefined && hasEntry(path))
    throw new OvmError("OVM_FILE_UNREADABLE", `${path}: it is a link to a file that is not there`)
  return bytes
}

/** What is wrong with the settings in the file `path`; `field` is "" for all of it. `more`: as an OvmError takes it. */
export function settingsError(
  path: string,
  field: string,
  reason: string,
  more: ConstructorParameters<typeof OvmError>[2] = {},
): OvmError {
  return new OvmError("OVM_SETTINGS_INVALID", `${path}: ${field ? `${field}: ` : ""}${reason}`, more)
}

/** The object that a settings file's text is. Throws what `invalid` makes of a reason. */
export function settingsIn(
  text: string,
  invalid: (reason: string, cause?: unknown) => OvmError,
): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw invalid("it is not JSON", cause)
  }
  if (!isObject(value)) throw invalid("it is not an object")
  return value
}
