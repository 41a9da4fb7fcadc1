import { isIP, isIPv6 } from "node:net"
import { OvmError } from "../errors.ts"
import { addressFault } from "./address.ts"

export type Protocol = "tcp" | "udp"

/** A port of the host that leads to a port of the guest. */
export interface PortForward {
  readonly protocol: Protocol
  /** The host's address that it is open on: IPv4 or IPv6, no name. */
  readonly address: string
  readonly host: number
  readonly guest: number
}

/** A forward that is asked for: without a port of the host it is any that is free. */
export type WantedForward = Omit<PortForward, "host"> & { readonly host?: number }

/** What a port is open on unless told: this host alone. */
export const LOOPBACK = "127.0.0.1"

/** The most forwards of one machine. */
export const MOST_FORWARDS = 64

const FORM = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?(\d*):)?(\d+)(?:\/(tcp|udp))?$/

/**
 * Reads `[[ADDRESS:]HOST:]GUEST[/tcp|/udp]`, as `-p` takes it; an IPv6 address is in brackets, and HOST left out, empty
 * or 0 is any port that is free. Throws OVM_USAGE.
 */
export function parseForward(text: string): WantedForward {
  const [whole, address = "", host = "", guest = "", protocol = "tcp"] = FORM.exec(text) ?? []
  if (whole === undefined) {
    const range = /\d-\d/.test(text)
    throw wrong(text, range ? "it is a range: each port is said by itself" : "it is not [ADDRESS:]HOST:GUEST")
  }
  const bare = address.replace(/^\[|\]$/g, "")
  if (bare !== "" && (isIP(bare) === 0 || isIPv6(bare) !== address.startsWith("[")))
    throw wrong(text, `${JSON.stringify(address)} is no IPv4 address, nor an IPv6 one in brackets`)
  const fault = bare === "" ? undefined : addressFault(bare)
  if (fault !== undefined) throw wrong(text, `${bare} ${fault}`)
  const port = host === "" ? 0 : portOf(text, host)
  const inside = portOf(text, guest)
  if (inside === 0) throw wrong(text, "the guest has no port 0")
  return {
    protocol: protocol as Protocol,
    address: bare || LOOPBACK,
    ...(port !== 0 && { host: port }),
    guest: inside,
  }
}

/** Reads one more of the forwards of a machine. Throws OVM_USAGE, also for one more than a machine has. */
export function parseFurther(text: string, before: readonly WantedForward[] = []): readonly WantedForward[] {
  if (before.length === MOST_FORWARDS) throw wrong(text, `a machine has ${MOST_FORWARDS} ports at most`)
  return [...before, parseForward(text)]
}

function portOf(text: string, digits: string): number {
  const port = Number(digits)
  if (port > 65535) throw wrong(text, `${digits} is no port: the last one is 65535`)
  return port
}

function wrong(text: string, reason: string): OvmError {
  return new OvmError("OVM_USAGE", `port ${text}: ${reason}`, {
    hint: "8080:80, 0.0.0.0:8080:80, 5353:53/udp, or 80 for a free port of this host",
  })
}

const HOST_SIDE = /^(?:(\[[^\]]*\]|[^:[\]]+):)?(\d+)(?:\/(tcp|udp))?$/

/** Reads `[ADDRESS:]HOST[/tcp|/udp]`, the side of a forward that is this host's. Throws OVM_USAGE. */
export function parseHostSide(text: string): Omit<PortForward, "guest"> {
  const [whole, address = LOOPBACK, host = "", protocol = "tcp"] = HOST_SIDE.exec(text) ?? []
  const bare = address.replace(/^\[|\]$/g, "")
  if (whole === undefined || isIP(bare) === 0 || isIPv6(bare) !== address.startsWith("["))
    throw new OvmError("OVM_USAGE", `port ${text}: it is not [ADDRESS:]HOST`, {
      hint: "8080, 0.0.0.0:8080, [::]:8080, 5353/udp",
    })
  return { protocol: protocol as Protocol, address: bare, host: portOf(text, host) }
}

/** The host's side of a forward, such as `127.0.0.1:8080` or `[::1]:8080`. */
export function hostSide({ address, host }: Pick<PortForward, "address" | "host">): string {
  return `${isIPv6(address) ? `[${address}]` : address}:${host}`
}

/** In full, such as `127.0.0.1:8080->80/tcp`. */
export function forwardText(forward: PortForward): string {
  return `${hostSide(forward)}->${forward.guest}/${forward.protocol}`
}
