import { readFileSync } from "node:fs"

let ours: string | undefined

/**
 * Differs after every restart of the host (random(4)), which this process does not outlive. Throws what reading throws.
 */
export function bootId(): string {
  ours ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()
  return ours
}
