import { isIPv6 } from "node:net"
import { OvmError } from "../errors.ts"
import { programOnPath } from "../host/program.ts"
import { type Background, type NotStarted, startBackground } from "./background.ts"
import { isEveryFamily, portInUse } from "./clash.ts"
import { hostSide, type PortForward } from "./forward.ts"
import { leadsOut } from "./way-out.ts"

/** Of its descriptors: its end of the connection. */
const CONNECTION = 3

/** The passt of this host (https://passt.top), the first one on PATH; undefined if there is none. */
export function findPasst(env: Record<string, string | undefined> = process.env): string | undefined {
  return programOnPath("passt", env)
}

/** Where it writes the pid of what stays (startBackground). */
const OUTPUT = "/proc/self/fd/1"

/** Without it the guest's gateway would be the host's loopback. */
const NO_GATEWAY = "--no-map-gw"

/** Exported for its test. */
export function passtArguments(forwards: readonly PortForward[]): string[] {
  const ports = forwards.flatMap((forward) => specifier(forward, forwards) ?? [])
  return ["--quiet", NO_GATEWAY, ...ports, "--pid", OUTPUT, "--fd", String(CONNECTION)]
}

/** A third to a half of the memory, and nothing that leads out, or that the first passt of a machine says already. */
const PORT_ALONE = ["--no-icmp", "--no-dhcp", "--no-dhcpv6", "--no-ndp", "--no-ra"]
/**
 * Whether it has a passt of its own from the start: what answers a client on this host finds back only by one that
 * takes a gateway for the host. Its filter lets out by it only what answers a client.
 */
export function isAnsweredApart({ protocol }: Pick<PortForward, "protocol">): boolean {
  return protocol === "udp"
}

/**
 * As what the guest sees this host in place of its loopback's addresses, and of the one that is the guest's as well:
 * no router's, since what answers that one is to find to it. The dummy address of RFC 7600, section 4.8, and by IPv6
 * one of the link alone, by no other of which passt knows a gateway again.
 */
const HOST_IS = ["--gateway", "192.0.0.8", "--gateway", "fe80::1"]
const OTHER = { tcp: "--no-udp", udp: "--no-tcp" } as const

/**
 * What its guest has where this host has no route that passt would take its own addresses from: ones that are nobody's
 * (RFC 7335), which the filter lets nobody send to. What is sent elsewhere goes by the routes that there are all the
 * same. The loopback has no MAC address.
 */
const ADDRESS = ["--address", "192.0.0.2", "--netmask", "29", "--mac-addr", "9a:55:9a:55:9a:55"]
const GATEWAY = ["--gateway", "192.0.0.1"]
const UNUSABLE = /No external routable interface for IPv4|External interface not usable/

/** How passt gets its addresses, one way after the other until it starts by one. */
function addressings(gateway: readonly string[]): readonly (readonly string[])[] {
  const given = ["--interface", "lo", ...ADDRESS, ...gateway]
  if (leadsOut(4)) return [[], given]
  // Those of IPv6 by itself.
  return [leadsOut(6) ? ["--outbound-if4", "lo", ...ADDRESS, ...gateway] : given]
}

/** Every address of both families is said without one, and once: twice it would be refused as overlapping. */
function specifier(forward: PortForward, all: readonly PortForward[]): readonly [string, string] | undefined {
  const { protocol, address, host, guest } = forward
  const option = protocol === "tcp" ? "-t" : "-u"
  const pair = all.find((other) => other !== forward && isEveryFamily(other, forward))
  if (!pair) return [option, `${address}/${host}:${guest}`]
  return all.indexOf(forward) < all.indexOf(pair) ? [option, `${host}:${guest}`] : undefined
}

interface PasstEnds extends Pick<Background, "onStay"> {
  /** A descriptor: the machine's frames. */
  readonly connection: number
}

/** As startPasst, for one port that is added to a machine that has a passt. */
export async function startPortPasst(
  program: string,
  forward: PortForward,
  { connection, onStay }: PasstEnds,
): Promise<void> {
  const usual = passtArguments([forward])
  const apart = isAnsweredApart(forward)
  const own = apart ? [...usual.filter((one) => one !== NO_GATEWAY), ...HOST_IS] : usual
  const args = [OTHER[forward.protocol], ...PORT_ALONE, ...own]
  const background = { program, args, descriptors: [connection], onStay }
  await start(background, apart ? [] : GATEWAY, [forward], new AbortController().signal)
}

/**
 * Starts `program`; returns when `forwards` are open. It ends by itself as
 * soon as nobody holds the connection's other end. Throws OVM_PORT_IN_USE, OVM_UNSUPPORTED for an address of IPv6 on a
 * host that does not lead out by that, or OVM_HOST_FAILED with passt's own words, also once `signal` comes or 10 s are
 * over; then nothing of it is left.
 */
export async function startPasst(
  program: string,
  forwards: readonly PortForward[],
  { connection, onStay }: PasstEnds,
  signal: AbortSignal,
): Promise<void> {
  const background = { program, args: passtArguments(forwards), descriptors: [connection], onStay }
  await start(background, GATEWAY, forwards, signal)
}

async function start(
  passt: Background,
  gateway: readonly string[],
  forwards: readonly PortForward[],
  signal: AbortSignal,
): Promise<void> {
  const closed = leftOut(forwards)
  if (closed) throw withoutIPv6(closed)
  let fault: NotStarted | undefined
  for (const addresses of addressings(gateway)) {
    fault = await startBackground({ ...passt, args: [...addresses, ...passt.args] }, signal)
    if (!fault) return
    if (!UNUSABLE.test(fault.words)) break
  }
  if (fault) throw failure(fault, forwards)
}

/** Which of two that are said as one port on every address passt leaves out without a word: that of IPv6. */
function leftOut(forwards: readonly PortForward[]): PortForward | undefined {
  if (leadsOut(6)) return undefined
  return forwards.find((one) => isIPv6(one.address) && forwards.some((other) => isEveryFamily(one, other)))
}

function failure({ how, words, cause }: NotStarted, forwards: readonly PortForward[]): OvmError {
  // What it cannot tell the system's log, it says of that.
  const said = words.replace(/^Failed to send \d+ bytes to syslog\n/gm, "").trim()
  const message = `the machine's network could not be made: passt did not start (${how})${said && `: ${said}`}`
  if (!/address (already )?in use|failed to bind/i.test(said))
    return new OvmError("OVM_HOST_FAILED", message, {
      cause,
      hint: "--network none starts the machine without one",
    })
  const refused = forwards.find((forward) => said.includes(`${specifier(forward, forwards)?.join(" ")}'`))
  if (!refused) return new OvmError("OVM_PORT_IN_USE", message, { cause })
  const error = new Error(message)
  return isIPv6(refused.address) && !leadsOut(6) ? withoutIPv6(refused, error) : portInUse(refused, "", error)
}

function withoutIPv6(forward: PortForward, cause?: Error): OvmError {
  const reason = "passt opens ports of IPv6 addresses on a host that has a way out by IPv6 alone"
  return new OvmError("OVM_UNSUPPORTED", `port ${hostSide(forward)} cannot be opened: ${reason}`, {
    cause,
    detail: [{ pointer: "/network/ports", reason }],
  })
}
