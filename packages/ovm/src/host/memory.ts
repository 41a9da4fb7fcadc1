import { readFile } from "node:fs/promises"

/** Bytes that the host can give without swapping (proc(5), MemAvailable); plenty where it does not say. */
export async function availableMemory(): Promise<number> {
  const text = await readFile("/proc/meminfo", "utf8").catch(() => "")
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1]
  return kib === undefined ? Number.POSITIVE_INFINITY : Number(kib) * 1024
}
