const STEPS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]

/** `1536` → `1.5 KiB`; whole numbers from 100 up. */
export function formatSize(bytes: number): string {
  let value = bytes
  let step = 0
  while (value >= 1024 && step < STEPS.length - 1) {
    value /= 1024
    step++
  }
  const digits = step === 0 || value >= 100 || Number.isInteger(value) ? 0 : 1
  return `${value.toFixed(digits)} ${STEPS[step]}`
}

/** The first 12 digits of a digest, as people compare them. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, "").slice(0, 12)
}

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

/** The first group of an instance's id, which is enough to name it. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}
