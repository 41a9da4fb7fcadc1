import { readFileSync } from "node:fs"

/** Bytes that a file may have which this process writes (`ulimit -f`). */
export function fileLimit(): number {
  const found = /^Max file size\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1]
  return Number(found ?? Number.POSITIVE_INFINITY)
}
