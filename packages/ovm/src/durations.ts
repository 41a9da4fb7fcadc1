/** `2026-11-23T15:00:00Z` → `3 minutes ago`. What is no time stays empty. */
export function formatAge(time: string | undefined, now: number = Date.now()): string {
  const then = time === undefined ? Number.NaN : Date.parse(time)
  if (Number.isNaN(then)) return ""
  const seconds = Math.max(0, Math.round((now - then) / 1000))
  if (seconds < 2) return "just now"
  return `${formatDuration(seconds)} ago`
}

const SPANS = [
  [365 * 86400, "year"],
  [30 * 86400, "month"],
  [7 * 86400, "week"],
  [86400, "day"],
  [3600, "hour"],
  [60, "minute"],
  [1, "second"],
] as const

/** Whole seconds in the largest unit that fits at least once. */
export function formatDuration(seconds: number): string {
  const [length, name] = SPANS.find(([span]) => seconds >= span) ?? [1, "second"]
  return formatCount(Math.floor(seconds / length), name)
}

/** `1 file`, `2 files`. */
export function formatCount(count: number, name: string): string {
  return `${count} ${name}${count === 1 ? "" : "s"}`
}
