import { readFile } from "node:fs/promises"

/** Bytes that the host can give without swapping (proc(5), MemAvailable); plenty where it does not say. */
export async function availableMemory(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "")
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1]
  return kib === undefined ? Number.POSITIVE_INFINITY : Number(kib) * 1024
}

/**
 * Bytes of memory that a process has for itself alone, files that it maps not counted until it has written to them
 * (proc(5), smaps_rollup); undefined if it is gone, or cannot be looked at.
 */
export async function ownMemory(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "")
  const kib = /^Anonymous:\s+(\d+) kB$/m.exec(text)?.[1]
  return kib === undefined ? undefined : Number(kib) * 1024
}
