import { join } from "node:path"
import { OvmError, toOvmError } from "../errors.ts"
import { limiter } from "../files/limit.ts"
import { portsOf } from "../network/named/bridge.ts"
import { HostNetwork } from "../network/named/host-network.ts"
import { type NetworkMember, newInterface } from "../network/named/named-network.ts"
import { assertPrograms } from "../network/named/programs.ts"
import { assertNetworkRights } from "../network/named/rights.ts"
import { gatewayOf, subnetText } from "../network/named/subnet.ts"
import { gateway6Of, machine6Of } from "../network/named/subnet6.ts"
import { entryOf, type Instance } from "./instance.ts"
import type { Network, NetworkRequest } from "./interfaces.ts"
import { NetworkReach } from "./network-reach.ts"
import { type NetworkRecord, NetworkRecords } from "./network-records.ts"
import { subnet6For, subnetFor } from "./network-subnets.ts"
import { hasEnded } from "./states.ts"

/** Between two looks whether anything of a network has ended. */
const LOOK_MS = 2000
const MOST = 64

interface Known {
  readonly record: NetworkRecord
  readonly host: HostNetwork
  /** Why it could not be put in order when that was tried last. */
  fault?: OvmError
  /** It is being put in order. */
  mending?: boolean
}

type Log = (event: string, fields: Record<string, unknown>) => void

/** The networks of one root, and what the host has of them (spec/networks.md). */
export class Networks {
  readonly #records: NetworkRecords
  readonly #known = new Map<string, Known>()
  /** What makes and removes them does so one after the other: two are not to have one subnet. */
  readonly #inTurn = limiter(1)
  #looking: NodeJS.Timeout | undefined
  /** What the machines in them may connect to. */
  readonly reach: NetworkReach

  constructor(
    root: string,
    private readonly instances: ReadonlyMap<string, Instance>,
    private readonly log: Log,
  ) {
    this.#records = new NetworkRecords(join(root, "networks"))
    this.reach = new NetworkReach(instances)
  }

  /** Knows again what is on record, before instances are taken over. */
  async load(): Promise<void> {
    await this.#records.sweep()
    for (const record of this.#records.read((path) => this.log("not a network", { path })))
      this.#known.set(record.name, { record, host: new HostNetwork(record) })
  }

  /** Makes what is missing of them, as after the host's start, and looks after them from now on (OVMS-NET-015). */
  begin(): void {
    // Until names are resolved, the rules stay as the last runtime has left them.
    const resolved = this.reach.renew()
    for (const known of this.#known.values())
      void this.#mend(known, async () => {
        await resolved
        // Meanwhile it may have been removed.
        if (this.#known.get(known.record.name) === known) await known.host.renew(this.#of(known))
      })
    this.#looking = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  close(): void {
    clearInterval(this.#looking)
  }

  /** By name. */
  list(): readonly Network[] {
    const all = [...this.#known.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1))
    return all.map((known) => this.#shown(known))
  }

  /** See Runtime.createNetwork. */
  async create(request: NetworkRequest): Promise<Network> {
    assertNetworkRights()
    assertPrograms()
    return await this.#inTurn(async () => {
      const { name, internal = false } = request
      if (this.#records.has(name)) throw new OvmError("OVM_NAME_IN_USE", `there is a network ${name} already`)
      if (this.#known.size >= MOST) throw new OvmError("OVM_TOO_MANY", `there are ${MOST} networks already`)
      const records = [...this.#known.values()].map(({ record }) => record)
      const subnet = await subnetFor(request.subnet, records)
      const subnet6 = await subnet6For(request, records)
      const made = { interface: newInterface(), created: new Date().toISOString() }
      const record: NetworkRecord = { name, subnet, ...(subnet6 && { subnet6 }), internal, ...made }
      const known = { record, host: new HostNetwork(record) }
      // Before anything is made: whatever comes in between, it is known whose it is.
      this.#records.write(record)
      try {
        await known.host.renew(() => [])
      } catch (thrown) {
        await known.host.remove().catch(() => {})
        this.#records.remove(name)
        throw thrown
      }
      this.#known.set(name, known)
      return this.#shown(known)
    })
  }

  /** See Runtime.removeNetwork. */
  async remove(name: string): Promise<void> {
    await this.#inTurn(async () => {
      const known = this.get(name)
      const [user] = this.usersOf(name)
      if (user) throw inUse(name, `the instance ${user.id} was started in it`, { instance_id: user.id })
      // From here on nobody joins it.
      this.#known.delete(name)
      try {
        const [port] = await portsOf(known.record.interface)
        if (port !== undefined) throw inUse(name, `${port} of this host is connected to it`, {})
        await known.host.remove()
        this.#records.remove(name)
      } catch (thrown) {
        this.#known.set(name, known)
        throw thrown
      }
    })
  }

  /** Throws OVM_NETWORK_UNKNOWN. */
  get(name: string): Known {
    const known = this.#known.get(name)
    if (known) return known
    throw new OvmError("OVM_NETWORK_UNKNOWN", `there is no network ${JSON.stringify(name.slice(0, 100))}`)
  }

  /** Those on record that were started in it, or are just being. */
  usersOf(name: string): readonly Instance[] {
    return [...this.instances.values()].filter(
      ({ info, request }) => (info.network?.name ?? request?.overrides?.network?.name) === name,
    )
  }

  /** Has the machines of the network that `instance` is in, if it is in one, know it. Throws what its making throws. */
  async serve({ info: { network } }: Pick<Instance, "info">): Promise<void> {
    if (network?.name === undefined) return
    const known = this.get(network.name)
    await known.host.serve(this.#of(known))
  }

  /** As `serve`, where nobody waits for it: what fails is tried again with the next look. */
  tell(instance: Pick<Instance, "info">): void {
    void this.serve(instance).catch(() => {})
  }

  #of({ record: { name } }: Known): () => readonly NetworkMember[] {
    return () => this.usersOf(name).flatMap((instance) => memberOf(instance, this.reach) ?? [])
  }

  #look(): void {
    void this.reach.renew()
    // Also of one that lacks nothing: a start that failed has told nobody, and names stand for others by now.
    for (const known of this.#known.values()) void this.#mend(known, () => known.host.serve(this.#of(known)))
  }

  async #mend(known: Known, work: () => Promise<void>): Promise<void> {
    if (known.mending) return
    const { name: network } = known.record
    const was = known.host.broken
    known.mending = true
    try {
      await work()
      if (was) this.log("network made", { network })
      delete known.fault
    } catch (thrown) {
      const fault = toOvmError(thrown)
      const { message } = fault
      if (message !== known.fault?.message) this.log("network fault", { network, error: message })
      known.fault = fault
    } finally {
      known.mending = false
    }
  }

  #shown({ record, host, fault }: Known): Network {
    const { name, subnet, subnet6, internal, created } = record
    const six = (mac: string | undefined) =>
      subnet6 && mac !== undefined && { ipv6_address: machine6Of(subnet6, mac) }
    return {
      name,
      subnet: subnetText(subnet),
      gateway: gatewayOf(subnet),
      ...(subnet6 && { ipv6_subnet: subnet6, ipv6_gateway: gateway6Of(subnet6) }),
      internal,
      interface: record.interface,
      created,
      degraded: fault !== undefined || host.broken,
      ...(fault && { error: entryOf(fault) }),
      instances: this.usersOf(name).flatMap(({ id, info: { network }, state }) =>
        network?.address === undefined
          ? []
          : [{ instance_id: id, address: network.address, ...six(network.mac), in_use: !hasEnded(state) }],
      ),
    }
  }
}

/** What others know of it, as long as it has not ended. */
function memberOf(instance: Instance, all: NetworkReach): NetworkMember | undefined {
  const { name, network, state } = instance.info
  if (hasEnded(state) || network?.mac === undefined || network.address === undefined) return undefined
  const reach = all.of(instance)
  return { name, mac: network.mac, address: network.address, ...(reach && { reach }) }
}

function inUse(name: string, why: string, detail: Record<string, unknown>): OvmError {
  return new OvmError("OVM_NETWORK_IN_USE", `the network ${name} is in use: ${why}`, {
    detail: { network: name, ...detail },
  })
}
