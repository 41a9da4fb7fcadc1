import { isIP } from "node:net"
import { OvmError } from "../errors.ts"
import type { PreparedImage } from "../images/prepared.ts"
import { LOOPBACK, MOST_FORWARDS, type WantedForward } from "../network/forward.ts"
import { randomMac } from "../network/mac.ts"
import { openPorts } from "../network/open-ports.ts"
import type { LaunchPlan, NetworkPlan, Unsupported } from "../vmm/plan.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Defaults } from "./limits.ts"

type Manifest = PreparedImage["manifest"]
type Shown = NonNullable<InstanceInfo["network"]>

/** Where a VMM says that a guest can connect to nothing outside. */
const OUTBOUND = "/network/outbound"

/**
 * The network of a new machine: what the start says wins over the manifest, that over the operator (OVMS-MAN-104). All
 * its ports could be opened just now. Throws OVM_UNSUPPORTED for ports of a machine without a network, OVM_TOO_MANY,
 * OVM_REQUEST_INVALID, and what openPorts throws.
 */
export async function newNetwork(
  { network = {} }: Overrides,
  manifest: Manifest,
  defaults: Pick<Defaults, "network">,
): Promise<NetworkPlan> {
  const [offer] = manifest.network ?? []
  const mode = network.mode ?? offer?.mode ?? defaults.network
  const asked = (network.ports ?? []).map(wantedForward)
  const offered = network.offered ? (offer?.ports ?? []).map(wantedForward) : []
  const named = (port: WantedForward) =>
    asked.some(({ guest, protocol }) => guest === port.guest && protocol === port.protocol)
  const wanted = [...asked, ...offered.filter((port) => !named(port))]
  if (wanted.length > 0 && mode === "none")
    throw new OvmError("OVM_UNSUPPORTED", "network: ports lead to a machine that has no network", {
      detail: [{ pointer: "network/ports", reason: "the machine's network is none" }],
      hint: "--network user",
    })
  if (wanted.length > MOST_FORWARDS)
    throw new OvmError(
      "OVM_TOO_MANY",
      `network: ${wanted.length} ports; a machine has ${MOST_FORWARDS} at most`,
    )
  const forwards = await openPorts(wanted)
  return { mode, mac: randomMac(), forwards, outbound: network.outbound ?? true }
}

/** Throws OVM_REQUEST_INVALID for an address that is none. */
function wantedForward(port: {
  readonly guest: number
  readonly host?: number
  readonly address?: string
  readonly protocol?: "tcp" | "udp"
}): WantedForward {
  const { guest, host = 0, address = LOOPBACK, protocol = "tcp" } = port
  if (isIP(address) === 0)
    throw new OvmError("OVM_REQUEST_INVALID", `network.ports: ${JSON.stringify(address)} is no IP address`, {
      detail: { requirement: "OVMS-API-252" },
    })
  return { protocol, address, guest, ...(host !== 0 && { host }) }
}

/** The network of a machine that is started again: the one that it had (OVMS-API-258). */
export function sameNetwork({ mode, mac, ports = [] }: Shown, { network }: Overrides = {}): NetworkPlan {
  return { mode, mac: mac ?? randomMac(), forwards: ports, outbound: network?.outbound ?? true }
}

/** `plan` without what `findings` say that the VMM does not have here. */
export function honoured<Plan extends LaunchPlan>(plan: Plan, findings: readonly Unsupported[]): Plan {
  const closed = findings.some(({ pointer }) => pointer === OUTBOUND)
  return closed && plan.network ? { ...plan, network: { ...plan.network, outbound: false } } : plan
}

/** What a status says of it. */
export function shownNetwork({ network }: LaunchPlan): Shown {
  if (!network) return { mode: "none" }
  const { mode, mac, outbound, forwards } = network
  return mode === "none" ? { mode, mac } : { mode, mac, outbound, ports: [...forwards] }
}
