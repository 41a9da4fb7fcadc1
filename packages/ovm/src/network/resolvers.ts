import { readFileSync } from "node:fs"
import { isIP } from "node:net"

/** The resolvers of this host that passt tells its guest of: those that are not on this host itself. */
export function resolvers(path?: string): readonly string[] {
  return nameservers(path).filter((address) => !/^(127\.|::1$)/.test(address))
}

/** The resolvers of this host, as /etc/resolv.conf has them. */
export function nameservers(path = "/etc/resolv.conf"): readonly string[] {
  const lines = read(path).split("\n")
  const named = lines.flatMap((line) => /^nameserver\s+([0-9a-fA-F.:]+)\s*$/.exec(line)?.[1] ?? [])
  return named.filter((address) => isIP(address) !== 0)
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch {
    // Without the file there are none.
    return ""
  }
}
