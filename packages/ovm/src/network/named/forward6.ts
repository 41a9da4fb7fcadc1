import { readdirSync } from "node:fs"
import { setting, settingNow } from "./settings.ts"

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
