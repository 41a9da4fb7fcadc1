import { setTimeout as sleep } from "node:timers/promises"
import type { MachineLink } from "../../network/machine-link.ts"
import type { GuestModel, LaunchPlan } from "../plan.ts"
import { carrierOf, macIn, NIC } from "./network.ts"
import type { Qmp } from "./qmp.ts"

/**
 * How long a guest that goes on from a snapshot has no link: its kernel has seen the change of the VM generation ID by
 * then, and nothing from outside reaches it before (OVMS-SNP-093).
 */
const UNLINKED_MS = 50

/** The guest's interface has its cable plugged in, or not. */
export async function setLink(qmp: Qmp, up: boolean): Promise<void> {
  await qmp.execute("set_link", { name: NIC, up })
}

/** The network of a guest that goes on: a new one of its own, behind the interface that it knows. */
export interface ResumedNetwork {
  /**
   * To be called once the guest runs. Returns at once where no port leads into it, else when all of them do. Throws
   * what NetworkLink.start throws, of ports.
   */
  connect(qmp: Qmp, link: MachineLink | undefined): Promise<void>
}

/** Undefined for a guest that has no interface. */
export function resumedNetwork(
  { network }: LaunchPlan,
  { devices }: Pick<GuestModel, "devices">,
): ResumedNetwork | undefined {
  if (macIn(devices) === undefined) return undefined
  if (carrierOf(network, devices) === "none") return { connect: async () => {} }
  const forwards = network?.forwards ?? []
  const up = async (qmp: Qmp, link: MachineLink | undefined) => {
    await sleep(UNLINKED_MS)
    if (network) await link?.start(network)
    await setLink(qmp, true)
  }
  return {
    connect: async (qmp, link) => {
      const work = up(qmp, link)
      // Nobody waits for it: a link that stays down is what the guest sees then.
      work.catch(() => {})
      if (forwards.length > 0) await work
    },
  }
}
