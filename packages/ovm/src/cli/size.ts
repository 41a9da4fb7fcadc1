import { OvmError } from "../errors.ts"

const UNITS: Record<string, number> = {
  "": 1,
  b: 1,
  k: 2 ** 10,
  kib: 2 ** 10,
  m: 2 ** 20,
  mib: 2 ** 20,
  g: 2 ** 30,
  gib: 2 ** 30,
  t: 2 ** 40,
  tib: 2 ** 40,
}

/**
 * Bytes in `512MiB`, `512M`, `1.5GiB` or `536870912`; units are binary. `MB` and its kin are refused, because half of
 * all programs mean powers of ten by them. Throws OVM_USAGE, naming `option`.
 */
export function parseSize(text: string, option: string): number {
  const [, digits, unit] = /^(\d+(?:\.\d+)?)\s?([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = unit === undefined ? undefined : UNITS[unit.toLowerCase()]
  const bytes = digits === undefined || factor === undefined ? Number.NaN : Number(digits) * factor
  if (Number.isSafeInteger(bytes)) return bytes
  throw new OvmError("OVM_USAGE", `${option} ${JSON.stringify(text)} is not a size`, {
    hint: `write bytes, or a number with KiB, MiB, GiB or TiB: ${option} 512MiB`,
  })
}

/** Bytes of a machine's memory or disk: whoever writes `256` hardly means bytes, and hears what that would be. */
export function parseAmple(text: string, option: string): number {
  const bytes = parseSize(text, option)
  if (bytes >= 1 << 20) return bytes
  throw new OvmError(
    "OVM_USAGE",
    `${option} ${JSON.stringify(text)} is ${bytes} bytes, too few for any machine`,
    {
      hint: `a number without a unit is bytes: ${option} ${Number.parseFloat(text)}MiB`,
    },
  )
}

/** A whole number from `least` to `most`, of an option. Throws OVM_USAGE. */
export function parseCount(text: string, option: string, least = 1, most = Number.POSITIVE_INFINITY): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (count >= least && count <= most) return count
  const range = most === Number.POSITIVE_INFINITY ? `${least} up` : `${least} to ${most}`
  throw new OvmError("OVM_USAGE", `${option} ${JSON.stringify(text)} is not a whole number from ${range}`)
}

/** Processors' time, from 0.01 to 255 of them. Throws OVM_USAGE. */
export function parseProcessors(text: string, option: string): number {
  const count = /^\d{1,3}(\.\d{1,3})?$/.test(text) ? Number(text) : Number.NaN
  if (count >= 0.01 && count <= 255) return count
  throw new OvmError("OVM_USAGE", `${option} ${JSON.stringify(text)} is not a number from 0.01 to 255`, {
    hint: `half of one processor's time: ${option} 0.5`,
  })
}
