import type { ChosenPorts } from "../../network/chosen-ports.ts"
import { randomMac } from "../../network/mac.ts"
import { openPorts } from "../../network/open-ports.ts"
import type { NetworkPlan } from "../../vmm/plan.ts"
import type { InstanceInfo, Overrides } from "../interfaces.ts"
import { outboundOf } from "../network.ts"

/**
 * The network of a child: one of its own that reaches what its source's does, with free ports of the host that lead
 * where the source's lead. Throws what openPorts throws.
 */
export async function childNetwork(
  { mode: had = "none", outbound = false, ports = [] }: Partial<NonNullable<InstanceInfo["network"]>>,
  { network = {} }: Overrides,
  chosen: ChosenPorts,
): Promise<NetworkPlan> {
  // A network that machines share has each MAC address once, and the guest keeps its own (OVMS-NET-011).
  const mode = had === "bridge" ? "user" : had
  const { allow } = network
  const reach = await outboundOf({ outbound, ...(allow && outbound && { allow }) }, mode)
  const wanted = ports.map(({ host: _, ...port }) => port)
  const forwards = await openPorts(wanted, { take: (port) => chosen.take(port) })
  return { mode, mac: randomMac(), forwards, ...reach }
}
