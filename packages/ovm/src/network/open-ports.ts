import { createSocket } from "node:dgram"
import { once } from "node:events"
import { createServer, isIPv6 } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { OvmError } from "../errors.ts"
import { ofOnePort, overlap, portInUse } from "./clash.ts"
import { hostSide, type PortForward, type Protocol, type WantedForward } from "./forward.ts"

const RETRY_MS = 20
/** Where the ports begin that every user may open, unless the host says otherwise. */
const FIRST_FREE = 1024
const LOWER = "sysctl -w net.ipv4.ip_unprivileged_port_start"

export interface OpenPortsOptions {
  /** How long a port may still be somebody else's who is about to go, in ms. */
  readonly patienceMs?: number
  /** Asked about each free port that could be chosen: false for one that is somebody else's to be. */
  readonly take?: (forward: PortForward) => boolean
}

/**
 * `wanted` with a port of the host each, all of which could be opened just now. Throws OVM_PORT_IN_USE,
 * OVM_PERMISSION_DENIED for what this user may not open, OVM_UNSUPPORTED for an address that this host does not have.
 */
export async function openPorts(
  wanted: readonly WantedForward[],
  { patienceMs = 0, take = () => true }: OpenPortsOptions = {},
): Promise<PortForward[]> {
  const taken: PortForward[] = []
  // One after the other, and those that are said first: a free one must not be one of them.
  for (const one of wanted.toSorted((a, b) => Number(b.host ?? 0) - Number(a.host ?? 0))) {
    let forward = { ...one, host: await tried(one, patienceMs) }
    // On an address each, one port could be free twice, and passt takes it once.
    const isTaken = () => taken.some((other) => ofOnePort(other, forward)) || !take(forward)
    while (one.host === undefined && isTaken()) forward = { ...one, host: await tried(one, patienceMs) }
    if (taken.some((same) => overlap(same, forward))) throw portInUse(forward)
    taken.push(forward)
  }
  return taken
}

async function tried(wanted: WantedForward, patienceMs: number): Promise<number> {
  const deadline = performance.now() + patienceMs
  for (;;)
    try {
      return await opened(wanted)
    } catch (thrown) {
      const forward = { ...wanted, host: wanted.host ?? 0 }
      const code = (thrown as NodeJS.ErrnoException).code
      if (code === "EADDRINUSE") {
        if (performance.now() >= deadline) throw portInUse(forward)
        await sleep(RETRY_MS)
      } else throw refused(forward, code, thrown)
    }
}

function refused(forward: PortForward, code: string | undefined, cause: unknown): OvmError {
  const what = `port ${hostSide(forward)} (${forward.protocol}) cannot be opened`
  if (code === "EACCES" || code === "EPERM") {
    const lower = forward.host < FIRST_FREE ? ` open ports below ${FIRST_FREE}` : ""
    return new OvmError("OVM_PERMISSION_DENIED", `${what}: this user may not${lower}`, {
      cause,
      hint: `a port from ${FIRST_FREE} on; or, as root, have every user open lower ones: ${LOWER}=${forward.host}`,
    })
  }
  // EINVAL: a link-local address, which without its interface is none, or one of a group.
  if (code === "EADDRNOTAVAIL" || code === "EAFNOSUPPORT" || code === "EINVAL")
    return new OvmError("OVM_UNSUPPORTED", `${what}: this host does not have that address`, { cause })
  return new OvmError("OVM_HOST_FAILED", `${what}: ${code ?? String(cause)}`, { cause })
}

/** The port that was opened, and closed again. Rejects with the system's error. */
async function opened({ protocol, address, host = 0 }: WantedForward): Promise<number> {
  return await OPEN[protocol](address, host)
}

/** As passt opens them: of IPv6 alone, so that the same port of IPv4 may be somebody else's. */
const OPEN: Readonly<Record<Protocol, (address: string, port: number) => Promise<number>>> = {
  async tcp(address, port) {
    const server = createServer().listen({ host: address, port, exclusive: true, ipv6Only: isIPv6(address) })
    await once(server, "listening")
    const bound = server.address()
    await new Promise((resolve) => server.close(resolve))
    return typeof bound === "object" && bound ? bound.port : port
  },
  async udp(address, port) {
    const v6 = isIPv6(address)
    const socket = createSocket({ type: v6 ? "udp6" : "udp4", ipv6Only: v6 })
    socket.bind({ address, port, exclusive: true })
    await once(socket, "listening")
    const bound = socket.address()
    await new Promise<void>((resolve) => socket.close(resolve))
    return bound.port
  },
}
