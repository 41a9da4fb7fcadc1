import { OvmError } from "../errors.ts"
import { randomMac } from "../network/mac.ts"
import { freeAddress, subnetText } from "../network/named/subnet.ts"
import { machine6Of } from "../network/named/subnet6.ts"
import type { NetworkPlan } from "../vmm/plan.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Networks } from "./networks.ts"

type Shown = NonNullable<InstanceInfo["network"]>
type Wanted = NonNullable<Overrides["network"]>

type Own = Pick<NetworkPlan, "mac" | "outbound" | "allow"> & { readonly address: string }

/** Addresses that machines in the network are given. */
export class Addresses {
  /** By instance: what its status does not say yet. */
  readonly #given = new Map<string, { readonly network: string; readonly address: string }>()

  constructor(
    private readonly networks: Networks,
    private readonly instances: ReadonlyMap<string, Instance>,
  ) {}

  /**
   * The network of the instance `id`, which is to be in the one that `wanted` names: there, and with an address that is
   * nobody else's. Throws OVM_REQUEST_INVALID, OVM_UNSUPPORTED, OVM_NETWORK_UNKNOWN, OVM_TOO_MANY.
   */
  async join(id: string, name: string, wanted: Wanted): Promise<NetworkPlan> {
    refuseOthers(wanted)
    const { outbound = true, allow } = wanted
    const { internal } = this.networks.get(name).record
    if (allow && (internal || !outbound)) throw leadsNowhere(name, internal)
    if (allow) await this.networks.reach.begin(id, allow)
    // Nobody else is given one in between.
    const { record } = this.networks.get(name)
    const taken = this.#taken(name, id)
    const address = freeAddress(record.subnet, taken)
    if (address === undefined)
      throw new OvmError(
        "OVM_TOO_MANY",
        `every address of the network ${name} is taken (${subnetText(record.subnet)})`,
      )
    this.#given.set(id, { network: name, address })
    const way = { outbound: outbound && !internal, ...(allow && { allow }) }
    return this.#plan(name, { address, mac: randomMac(), ...way })
  }

  /** The network of one that is started again, as its status has it (OVMS-NET-012). Throws OVM_NETWORK_UNKNOWN. */
  async again(
    id: string,
    { name = "", address = "", mac = randomMac(), ports = [], ...had }: Shown,
  ): Promise<NetworkPlan> {
    const { outbound = true, allow } = had
    this.networks.get(name)
    if (allow) await this.networks.reach.begin(id, allow)
    return { ...this.#plan(name, { address, mac, outbound, ...(allow && { allow }) }), forwards: ports }
  }

  /** Without the ports of the host that lead there. */
  #plan(name: string, { address, ...own }: Own): NetworkPlan {
    const { record } = this.networks.get(name)
    const { interface: bridged, subnet6 } = record
    const six = subnet6 && { address6: machine6Of(subnet6, own.mac) }
    const bridge = { name, interface: bridged, address, ...six }
    return { ...own, mode: "bridge", forwards: [], bridge }
  }

  #taken(name: string, id: string): ReadonlySet<string> {
    for (const one of this.#given.keys()) if (one === id || !this.instances.has(one)) this.#given.delete(one)
    const given = [...this.#given.values()].filter(({ network }) => network === name)
    const had = this.networks.usersOf(name).flatMap(({ info: { network } }) => network?.address ?? [])
    return new Set([...given.map(({ address }) => address), ...had])
  }
}

/** What a network of the host does not do for one of its machines (OVMS-NET-010). */
function refuseOthers({ mode }: Wanted): void {
  if (mode !== undefined)
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      "network: a machine has either a mode or the name of a network",
      {
        detail: { requirement: "OVMS-NET-010" },
      },
    )
}

function leadsNowhere(name: string, internal: boolean): OvmError {
  if (internal)
    return new OvmError("OVM_UNSUPPORTED", `network.allow: nothing leads out of the network ${name}`, {
      detail: [{ pointer: "network/allow", reason: "the network is internal" }],
      hint: "leave out the list, or name a network that was made without --internal",
    })
  return new OvmError("OVM_REQUEST_INVALID", "network.allow: the guest is to connect to nothing", {
    detail: { requirement: "OVMS-API-260" },
    hint: "leave out either the list, or --outbound off",
  })
}
