import { readFileSync } from "node:fs"
import { OvmError } from "../../errors.ts"

/** Its bit (capabilities(7)). */
const CAP_NET_ADMIN = 1n << 12n

/** Throws OVM_PERMISSION_DENIED unless this process may change the host's network. */
export function assertNetworkRights(): void {
  const found = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"
  if ((BigInt(`0x${found}`) & CAP_NET_ADMIN) !== 0n) return
  throw new OvmError(
    "OVM_PERMISSION_DENIED",
    "networks that machines share are root's to make: this daemon may not change the host's network",
    { hint: "as root: sudo ovm network create NAME; its machines are root's as well" },
  )
}
