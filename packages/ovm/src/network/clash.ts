import { isIPv6 } from "node:net"
import { OvmError } from "../errors.ts"
import { isEvery, sameAddress } from "./address.ts"
import { hostSide, type PortForward, type WantedForward } from "./forward.ts"

/** Whether both are of one port of the host, on whichever addresses. A port that is to be free is nobody's yet. */
export function ofOnePort(one: WantedForward, other: WantedForward): boolean {
  return one.host !== undefined && one.host === other.host && one.protocol === other.protocol
}

/** Whether both cannot be open at once, whoever opens them. */
export function overlap(one: WantedForward, other: WantedForward): boolean {
  if (!ofOnePort(one, other) || isIPv6(one.address) !== isIPv6(other.address)) return false
  return isEvery(one.address) || isEvery(other.address) || sameAddress(one.address, other.address)
}

/** Whether together they are one port of the guest on every address of the host, IPv4 and IPv6. */
export function isEveryFamily(one: WantedForward, other: WantedForward): boolean {
  const every = isEvery(one.address) && isEvery(other.address)
  return (
    every &&
    isIPv6(one.address) !== isIPv6(other.address) &&
    one.guest === other.guest &&
    ofOnePort(one, other)
  )
}

/**
 * Throws OVM_REQUEST_INVALID for two forwards of one machine that passt does not open together: it has each port of the
 * host once, on one address or on all (OVMS-API-252).
 */
export function assertApart(wanted: readonly WantedForward[]): void {
  for (const [at, one] of wanted.entries()) {
    const other = wanted.slice(0, at).find((before) => ofOnePort(before, one) && !isEveryFamily(before, one))
    if (!other) continue
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `network.ports: ${text(other)} and ${text(one)} are of one port of the host`,
      {
        detail: { requirement: "OVMS-API-252" },
        hint: "a machine has each port of the host once: on one address, or on 0.0.0.0 and [::] together",
      },
    )
  }
}

function text({ address, host = 0, guest, protocol }: WantedForward): string {
  return `${hostSide({ address, host })}->${guest}/${protocol}`
}

/** OVM_PORT_IN_USE: `forward` is, by `whom` where that is known. */
export function portInUse(
  forward: Pick<PortForward, "address" | "host" | "protocol">,
  whom = "",
  cause?: unknown,
): OvmError {
  const { address, host, protocol } = forward
  const port = `port ${hostSide(forward)} (${protocol})`
  return new OvmError("OVM_PORT_IN_USE", `${port} is in use${whom && ` by ${whom}`}`, {
    cause,
    hint: "another port of the host, or 0 for one that is free",
    detail: { address, port: host, protocol },
  })
}
