import type { MachineLink } from "../../network/machine-link.ts"
import type { GuestModel, LaunchPlan } from "../plan.ts"
import { connectResumed, hasPorts } from "../process/connect-resumed.ts"
import { agentIn } from "./agent.ts"
import { carrierOf, NIC } from "./network.ts"
import type { Qmp } from "./qmp.ts"

/**
 * The guest is asked to say who it is, as after a migration (net/announce.c; VIRTIO_NET_F_GUEST_ANNOUNCE): what carries
 * its frames has never heard of it, and what comes in by a port before it has would be lost. In ms.
 */
const ANNOUNCEMENT = { initial: 20, max: 500, rounds: 5, step: 100 }

/** The guest's interface has its cable plugged in, or not. */
export async function setLink(qmp: Qmp, up: boolean): Promise<void> {
  await qmp.execute("set_link", { name: NIC, up })
  if (up) await qmp.execute("announce-self", ANNOUNCEMENT)
}

/** The network of a guest that goes on: a new one of its own, behind the interface that it knows. */
export interface ResumedNetwork {
  /** Whether ports lead into it. */
  readonly ports: boolean
  /**
   * To be called once the guest runs: carries its frames, and opens its ports. The link of a guest with the way to an
   * agent is still down then (OVMS-SNP-170). Throws what NetworkLink.start throws, of ports.
   */
  connect(qmp: Qmp, link: MachineLink | undefined): Promise<void>
}

/** Undefined for a guest that has no interface, or one that is connected to nothing. */
export function resumedNetwork(
  plan: LaunchPlan,
  { devices }: Pick<GuestModel, "devices">,
): ResumedNetwork | undefined {
  if (carrierOf(plan.network, devices) === "none") return undefined
  const agent = agentIn(devices)
  return {
    ports: hasPorts(plan),
    connect: (qmp, link) => connectResumed(link, plan, agent ? undefined : () => setLink(qmp, true)),
  }
}
