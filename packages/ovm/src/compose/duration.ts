const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds of `1m30s` and its like, which the schema has looked at. */
export function durationOf(text: string): number {
  return [...text.matchAll(/(\d+)(ms|s|m|h)/g)].reduce(
    (sum, [, count, unit = ""]) => sum + Number(count) * (UNITS[unit] ?? 0),
    0,
  )
}

/** From one second to 30 days, as a machine on standby takes it (OVMS-API-490). */
export function isIdleTime(ms: number): boolean {
  return ms >= 1000 && ms <= 2_592_000_000
}
