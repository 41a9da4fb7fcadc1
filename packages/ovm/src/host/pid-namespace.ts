import { readlinkSync } from "node:fs"

let ours: string | undefined

/** Which PID namespace this process is in (pid_namespaces(7)), as a number in decimal; "" where the kernel has none. */
export function pidNamespace(): string {
  ours ??= /\d+/.exec(linkOf("/proc/self/ns/pid"))?.[0] ?? ""
  return ours
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ""
  }
}
