/** Words of old writers (CIM's "AllocationUnits" before it was a programmatic unit). */
const WORDS: Readonly<Record<string, number>> = {
  byte: 1,
  bytes: 1,
  kilobytes: 2 ** 10,
  megabytes: 2 ** 20,
  gigabytes: 2 ** 30,
  kb: 2 ** 10,
  mb: 2 ** 20,
  gb: 2 ** 30,
}

/** How many bytes a unit has (DSP0004, "Programmatic units"): `byte * 2^20`; undefined for what is none. */
export function bytesInUnit(unit: string): number | undefined {
  const word = WORDS[unit.trim().toLowerCase()]
  if (word !== undefined) return word
  const [, base, power] = /^\s*byte\s*\*\s*(\d{1,4})(?:\s*\^\s*(\d{1,2}))?\s*$/i.exec(unit) ?? []
  const bytes = base === undefined ? Number.NaN : Number(base) ** Number(power ?? 1)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}
