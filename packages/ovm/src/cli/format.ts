export { formatAge, formatCount, formatDuration } from "../durations.ts"

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

/** The first group of an instance's id, which is enough to name it. */
export function shortId(id: string): string {
  return id.slice(0, 8)
}
