import { OvmError } from "../errors.ts"
import { randomMac } from "../network/mac.ts"
import { freeAddress, subnetText } from "../network/named/subnet.ts"
import type { NetworkPlan } from "../vmm/plan.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import type { Networks } from "./networks.ts"

type Shown = NonNullable<InstanceInfo["network"]>
type Wanted = NonNullable<Overrides["network"]>

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
  join(id: string, name: string, wanted: Wanted): NetworkPlan {
    refuseOthers(wanted)
    const { record } = this.networks.get(name)
    const taken = this.#taken(name, id)
    const address = freeAddress(record.subnet, taken)
    if (address === undefined)
      throw new OvmError(
        "OVM_TOO_MANY",
        `every address of the network ${name} is taken (${subnetText(record.subnet)})`,
      )
    this.#given.set(id, { network: name, address })
    return this.#plan(name, { address, mac: randomMac() })
  }

  /** The network of one that is started again, as its status has it (OVMS-NET-012). Throws OVM_NETWORK_UNKNOWN. */
  again({ name = "", address = "", mac = randomMac() }: Shown): NetworkPlan {
    return this.#plan(name, { address, mac })
  }

  #plan(name: string, { address, mac }: { readonly address: string; readonly mac: string }): NetworkPlan {
    const { record } = this.networks.get(name)
    const bridge = { name, interface: record.interface, address }
    return { mode: "bridge", mac, forwards: [], outbound: !record.internal, bridge }
  }

  #taken(name: string, id: string): ReadonlySet<string> {
    for (const one of this.#given.keys()) if (one === id || !this.instances.has(one)) this.#given.delete(one)
    const given = [...this.#given.values()].filter(({ network }) => network === name)
    const had = this.networks.usersOf(name).flatMap(({ info: { network } }) => network?.address ?? [])
    return new Set([...given.map(({ address }) => address), ...had])
  }
}

/** What a network of the host does not do for one of its machines (OVMS-NET-010). */
function refuseOthers({ mode, ports = [], offered, outbound, allow }: Wanted): void {
  if (mode !== undefined)
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      "network: a machine has either a mode or the name of a network",
      {
        detail: { requirement: "OVMS-NET-010" },
      },
    )
  const inside =
    "the machine is reached by its own address from this host, and by its name from the network's others"
  const whole = "ovm network create --internal makes a network that nothing leads out of"
  if (ports.length > 0) throw unsupported("ports", inside)
  if (offered) throw unsupported("offered", inside)
  if (outbound === false) throw unsupported("outbound", whole)
  if (allow) throw unsupported("allow", whole)
}

function unsupported(what: string, instead: string): OvmError {
  return new OvmError(
    "OVM_UNSUPPORTED",
    `network.${what} is of a machine in a network of its own (--network user): ${instead}`,
    {
      detail: [{ pointer: `network/${what}`, reason: "the machine is in a network of the host" }],
      hint: "--network user",
    },
  )
}
