import { OvmError } from "../errors.ts"
import { programOnPath } from "../host/program.ts"
import { type Background, type NotStarted, startBackground } from "./background.ts"
import { isEveryFamily, portInUse } from "./clash.ts"
import type { PortForward } from "./forward.ts"

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
  const own = isAnsweredApart(forward) ? [...usual.filter((one) => one !== NO_GATEWAY), ...HOST_IS] : usual
  const args = [OTHER[forward.protocol], ...PORT_ALONE, ...own]
  const fault = await startBackground(
    { program, args, descriptors: [connection], onStay },
    new AbortController().signal,
  )
  if (fault) throw failure(fault, [forward])
}

/**
 * Starts `program`; returns when `forwards` are open. It ends by itself as
 * soon as nobody holds the connection's other end. Throws OVM_PORT_IN_USE, or OVM_HOST_FAILED with passt's own words,
 * also once `signal` comes or 10 s are over; then nothing of it is left.
 */
export async function startPasst(
  program: string,
  forwards: readonly PortForward[],
  { connection, onStay }: PasstEnds,
  signal: AbortSignal,
): Promise<void> {
  const args = passtArguments(forwards)
  const fault = await startBackground({ program, args, descriptors: [connection], onStay }, signal)
  if (fault) throw failure(fault, forwards)
}

const OFFLINE =
  "the machine's network could not be made: this host has no way out (a default route), which passt needs; " +
  "--network none starts the machine without one"

function failure({ how, words, cause }: NotStarted, forwards: readonly PortForward[]): OvmError {
  // What it cannot tell the system's log, it says of that.
  const said = words.replace(/^Failed to send \d+ bytes to syslog\n/gm, "").trim()
  const message = `the machine's network could not be made: passt did not start (${how})${said && `: ${said}`}`
  // Its words are of several lines, and none says what to do.
  if (/No external routable interface|External interface not usable/.test(said))
    return new OvmError("OVM_HOST_FAILED", OFFLINE, { cause: cause ?? new Error(message) })
  if (!/address (already )?in use|failed to bind/i.test(said))
    return new OvmError("OVM_HOST_FAILED", message, {
      cause,
      hint: "--network none starts the machine without one",
    })
  const refused = forwards.find((forward) => said.includes(`${specifier(forward, forwards)?.join(" ")}'`))
  return refused
    ? portInUse(refused, "", new Error(message))
    : new OvmError("OVM_PORT_IN_USE", message, { cause })
}
