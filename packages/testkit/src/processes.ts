import { readdirSync, readFileSync, readlinkSync } from "node:fs"

/** Command lines of all processes that work in `folder`: what a test must not leave behind. Zombies do not count. */
export function processesIn(folder: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (readlinkSync(`/proc/${pid}/cwd`) !== folder) return []
        return [readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").slice(0, 200)]
      } catch {
        return []
      }
    })
}
