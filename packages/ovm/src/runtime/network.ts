import { isIP } from "node:net"
import { OvmError } from "../errors.ts"
import type { PreparedImage } from "../images/prepared.ts"
import { addressFault } from "../network/address.ts"
import { allowedNetworks } from "../network/allowed.ts"
import type { ChosenPorts } from "../network/chosen-ports.ts"
import { assertApart, overlap, portInUse } from "../network/clash.ts"
import { LOOPBACK, MOST_FORWARDS, type PortForward, type WantedForward } from "../network/forward.ts"
import { randomMac } from "../network/mac.ts"
import { openPorts } from "../network/open-ports.ts"
import { isStranded } from "../network/way-out.ts"
import type { LaunchPlan, NetworkPlan, Unsupported } from "../vmm/plan.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo, Overrides, PortRequest } from "./interfaces.ts"
import type { Defaults } from "./limits.ts"
import { hasEnded } from "./states.ts"

type Manifest = PreparedImage["manifest"]
type Shown = NonNullable<InstanceInfo["network"]>

/** Of the guest's sshd. */
const SSH_PORT = 22

/** Where a VMM says that a guest can connect to nothing outside. */
const OUTBOUND = "/network/outbound"

/**
 * The network of a new machine: what the start says wins over the manifest, that over the operator (OVMS-MAN-104). All
 * its ports could be opened just now. Throws OVM_UNSUPPORTED for ports of a machine without a network, OVM_TOO_MANY,
 * OVM_REQUEST_INVALID, and what openPorts throws.
 */
export async function newNetwork(
  overrides: Overrides,
  manifest: Manifest,
  defaults: Pick<Defaults, "network">,
  chosen?: ChosenPorts,
): Promise<NetworkPlan> {
  const { network = {} } = overrides
  const [offer] = manifest.network ?? []
  const mode: NetworkPlan["mode"] = network.mode ?? offer?.mode ?? defaults.network
  const wanted = wantedForwards(overrides, manifest)
  assertMayHave(wanted.length, mode)
  const outbound = await outboundOf(network, mode)
  const forwards = await openPorts(wanted, chosen && { take: (port) => chosen.take(port) })
  return { mode, mac: randomMac(), forwards, ...outbound }
}

/** The ports of one that joins a network that machines share: all could be opened just now. Throws likewise. */
export async function sharedForwards(
  overrides: Overrides,
  manifest: Manifest,
  chosen: ChosenPorts,
): Promise<readonly PortForward[]> {
  const wanted = wantedForwards(overrides, manifest)
  assertMayHave(wanted.length, "bridge")
  return await openPorts(wanted, { take: (port) => chosen.take(port) })
}

/** Those that the start asks for, and what it takes of those that the image offers. */
function wantedForwards(overrides: Overrides, manifest: Manifest): readonly WantedForward[] {
  const { network = {} } = overrides
  const [offer] = manifest.network ?? []
  const asked = askedForwards(overrides)
  const offered = network.offered ? (offer?.ports ?? []).map(wantedForward) : []
  const named = (port: WantedForward) =>
    asked.some(({ guest, protocol }) => guest === port.guest && protocol === port.protocol)
  return [...asked, ...offered.filter((port) => !named(port))]
}

/** In `warnings` of an instance. */
export const NOTHING_OFFERED = "the image offers no ports, and none of it was opened"

/** That a start asks for the ports that the image offers, and it offers none (OVMS-API-263). */
export function nothingOffered({ network }: Overrides, manifest: Manifest): readonly string[] {
  if (!network?.offered || manifest.network?.some(({ ports = [] }) => ports.length > 0)) return []
  return [NOTHING_OFFERED]
}

/** Throws OVM_UNSUPPORTED for ports of a machine without a network (OVMS-API-256), OVM_TOO_MANY. */
export function assertMayHave(ports: number, mode: NetworkPlan["mode"]): void {
  if (ports > 0 && mode === "none")
    throw new OvmError("OVM_UNSUPPORTED", "network: ports lead to a machine that has no network", {
      detail: [{ pointer: "network/ports", reason: `the machine's network is ${mode}` }],
      hint: "--network user",
    })
  if (ports > MOST_FORWARDS)
    throw new OvmError("OVM_TOO_MANY", `network: ${ports} ports; a machine has ${MOST_FORWARDS} at most`)
}

/** What the guest may connect to. Names stand for the addresses that they have now (OVMS-API-260 to 262). */
export async function outboundOf(
  { outbound = true, allow }: NonNullable<Overrides["network"]>,
  mode: NetworkPlan["mode"],
): Promise<Pick<NetworkPlan, "outbound" | "allow" | "allowed">> {
  if (allow === undefined) return { outbound }
  if (outbound && mode === "user") return { outbound, allow, allowed: await allowedNetworks(allow) }
  throw new OvmError("OVM_REQUEST_INVALID", "network.allow: the guest is to connect to nothing", {
    detail: { requirement: "OVMS-API-260" },
    hint: "leave out either the list, or --outbound off and --network none",
  })
}

/**
 * The ports that a start asks for, that of `overrides.ssh` with them (OVMS-FBC-010), those that its image offers apart.
 * Throws OVM_REQUEST_INVALID for an address that no port can be open on, and for two of one port.
 */
function askedForwards({ network = {}, ssh }: Overrides): readonly WantedForward[] {
  const asked = (network.ports ?? []).map(wantedForward)
  assertApart(asked)
  // In a network that machines share, this host reaches it by its own address.
  const missing =
    ssh &&
    network.name === undefined &&
    !asked.some(({ guest, protocol }) => guest === SSH_PORT && protocol === "tcp")
  return missing ? [...asked, forwardOf({ guest: SSH_PORT })] : asked
}

/**
 * Throws OVM_PORT_IN_USE if another machine has a port of the host that one with these overrides or with `known`, the
 * instance `id`, is to have, and OVM_REQUEST_INVALID for ports that no machine could have (OVMS-API-255). Not
 * asynchronous: of two starts one is first.
 */
export function assertPortsFree(
  instances: ReadonlyMap<string, Instance>,
  id: string,
  overrides: Overrides,
  known?: Shown,
): void {
  const wanted = known?.ports ?? askedForwards(overrides)
  if (!wanted.some(({ host }) => host !== undefined)) return
  for (const instance of instances.values()) {
    if (instance.id === id || hasEnded(instance.state)) continue
    const { info, request } = instance
    const had = info.network?.ports ?? (request?.overrides?.network?.ports ?? []).map(forwardOf)
    for (const port of wanted)
      if (port.host !== undefined && had.some((other) => overlap(other, port)))
        throw portInUse({ ...port, host: port.host }, `the instance ${instance.id}`)
  }
}

/** Throws OVM_REQUEST_INVALID for an address that is none, or that no port can be open on. */
export function wantedForward(port: PortRequest): WantedForward {
  const forward = forwardOf(port)
  const { address } = forward
  const fault = isIP(address) === 0 ? "is no IP address" : addressFault(address)
  if (fault !== undefined)
    throw new OvmError("OVM_REQUEST_INVALID", `network.ports: ${JSON.stringify(address)} ${fault}`, {
      detail: { requirement: "OVMS-API-252" },
    })
  return forward
}

function forwardOf({ guest, host = 0, address = LOOPBACK, protocol = "tcp" }: PortRequest): WantedForward {
  return { protocol, address, guest, ...(host !== 0 && { host }) }
}

/** The network of a machine that is started again: the one that it had (OVMS-API-258). */
export async function sameNetwork(
  { mode, mac, ports = [] }: Shown,
  { network = {} }: Overrides = {},
): Promise<NetworkPlan> {
  return { mode, mac: mac ?? randomMac(), forwards: ports, ...(await outboundOf(network, mode)) }
}

/** `plan` without what `findings` say that the VMM does not have here. */
export function honoured<Plan extends LaunchPlan>(plan: Plan, findings: readonly Unsupported[]): Plan {
  const closed = findings.some(({ pointer }) => pointer === OUTBOUND)
  return closed && plan.network ? { ...plan, network: { ...plan.network, outbound: false } } : plan
}

/** What is to be told of a guest that is let out, on a host that has no way out just now. */
export function stranded({ network }: LaunchPlan): readonly string[] {
  const out = network?.mode === "user" && network.outbound
  if (!out || !isStranded()) return []
  return [
    "this host has no way out (a default route): ports lead into the guest, and it connects to nobody but by the " +
      "routes that there are",
  ]
}

/** What a status says of it. */
export function shownNetwork({ network }: LaunchPlan): Shown {
  if (!network) return { mode: "none" }
  const { mode, mac, outbound, allow, forwards, bridge } = network
  if (mode === "none") return { mode, mac }
  const words = allow && { allow: [...allow] }
  const ports = [...forwards]
  if (bridge) {
    const { name, address, address6 } = bridge
    const six = address6 !== undefined && { ipv6_address: address6 }
    return { mode, name, mac, address, ...six, outbound, ...words, ports }
  }
  return { mode, mac, outbound, ...words, ports }
}
