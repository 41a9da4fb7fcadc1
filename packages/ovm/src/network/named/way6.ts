import { readdirSync, readFileSync } from "node:fs"
import { setting, settingNow } from "./settings.ts"

/** A route that says that there is none (linux/route.h). */
const REJECT = 0x200

/** Whether this host has a way out by IPv6 just now: a default route. */
export function leadsOut6(): boolean {
  return readRoutes().some((line) => {
    const [network, bits, , , , , , , flags = "0", name] = line.trim().split(/\s+/)
    const every = bits === "00" && /^0+$/.test(network ?? "")
    return every && name !== "lo" && (Number.parseInt(flags, 16) & REJECT) === 0
  })
}

/**
 * Has the host pass on IPv6. A host that does hears no routers (ip-sysctl, accept_ra), so that one that had its own way
 * out from a router would lose it: whoever heard them until now hears them from now on as well.
 */
export function letForward6(): void {
  if (settingNow("net/ipv6/conf/all/forwarding") === "1") return
  for (const name of readdirSync("/proc/sys/net/ipv6/conf"))
    if (name !== "all" && settingNow(`net/ipv6/conf/${name}/accept_ra`) === "1")
      setting(`net/ipv6/conf/${name}/accept_ra`, "2")
  setting("net/ipv6/conf/all/forwarding", "1")
}

function readRoutes(): readonly string[] {
  try {
    return readFileSync("/proc/self/net/ipv6_route", "utf8").split("\n")
  } catch {
    // A kernel without IPv6.
    return []
  }
}
