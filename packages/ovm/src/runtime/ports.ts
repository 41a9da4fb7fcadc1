import { OvmError } from "../errors.ts"
import { limiter } from "../files/limit.ts"
import { sameAddress } from "../network/address.ts"
import type { ChosenPorts } from "../network/chosen-ports.ts"
import { isEveryFamily, ofOnePort, portInUse } from "../network/clash.ts"
import { hostSide, LOOPBACK, type PortForward } from "../network/forward.ts"
import { openPorts } from "../network/open-ports.ts"
import type { OpenPorts } from "../vmm/machine.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo, Port, PortNamed, PortRequest } from "./interfaces.ts"
import { assertMayHave, assertPortsFree, wantedForward } from "./network.ts"
import { hasEnded } from "./states.ts"

type Network = NonNullable<InstanceInfo["network"]>

/** Whose ports change, among which instances, and who hears of it. */
export interface PortsOf {
  readonly instance: Instance
  readonly all: ReadonlyMap<string, Instance>
  readonly told: Log
  readonly chosen: ChosenPorts
}

/** One change of an instance at a time: each begins with what the one before has left. */
const TURNS = new WeakMap<Instance, ReturnType<typeof limiter>>()

async function inTurn<T>(instance: Instance, work: () => Promise<T>): Promise<T> {
  const turn = TURNS.get(instance) ?? limiter(1)
  TURNS.set(instance, turn)
  return await turn(work)
}

/**
 * Runtime.addPort (OVMS-API-265, 266). The VMM opens it before it is on record: what a daemon that died in between has
 * left open is found again (`settlePorts`), and what is on record is open.
 */
export async function addPortTo(of: PortsOf, request: PortRequest): Promise<Port> {
  return await inTurn(of.instance, async () => {
    const { instance, all } = of
    const { network, open } = changeable(of)
    const { ports = [] } = network
    const wanted = wantedForward(request)
    assertMayHave(ports.length + 1, network.mode)
    const { host } = wanted
    if (host !== undefined) {
      const own = ports.some((one) => ofOnePort(one, wanted) && !isEveryFamily(one, wanted))
      if (own) throw portInUse({ ...wanted, host }, "the machine itself")
      assertPortsFree(all, instance.id, {}, { ...network, ports: [{ ...wanted, host }] })
    }
    const port = await freePort(wanted, ports, of.chosen)
    assertUnchanged(of, network)
    await open?.open(port)
    await kept(of, { ...network, ports: [...ports, port] }).catch(async (thrown) => {
      await open?.close(port)
      throw thrown
    })
    return port
  })
}

/** Runtime.removePort (OVMS-API-267): closed first, for the same reason. */
export async function removePortFrom(of: PortsOf, named: PortNamed): Promise<Port> {
  return await inTurn(of.instance, async () => {
    const { network, open } = changeable(of)
    const { ports = [] } = network
    const port = ports.find((one) => isNamed(one, named))
    if (!port) throw unknown(of.instance, named)
    await open?.close(port)
    await kept(of, { ...network, ports: ports.filter((one) => one !== port) }).catch(async (thrown) => {
      await open?.open(port)
      throw thrown
    })
    return port
  })
}

/** Of a machine that has been adopted: its ports are those that are open (OVMS-API-269). */
export async function settlePorts({ instance, told }: Pick<PortsOf, "instance" | "told">): Promise<void> {
  const { network } = instance.info
  const open = await instance.machine?.ports?.list()
  if (!network || !open) return
  const { ports = [] } = network
  const found = open.filter((one) => !ports.some((known) => isSame(known, one)))
  const left = ports.filter((known) => open.some((one) => isSame(known, one)))
  if (found.length === 0 && left.length === ports.length) return
  await instance.update({ network: { ...network, ports: [...left, ...found] } })
  told("ports", instance, { ports: instance.info.network?.ports })
}

/** Its network, and what opens its ports if it runs. Throws as the spec says for one whose ports cannot change now. */
function changeable({ instance }: PortsOf): { network: Network; open?: OpenPorts } {
  instance.assertUsable()
  const { id, info, machine, removing, state } = instance
  const { network } = info
  if (removing || state === "starting" || state === "stopping" || !network)
    throw new OvmError("OVM_STATE_CONFLICT", `instance ${id} is ${removing ? "being removed" : state}`, {
      detail: { state },
    })
  if (hasEnded(state) || network.mode !== "user") return { network }
  if (machine?.ports) return { network, open: machine.ports }
  const reason = "passt opens ports when it starts, and no other ones later"
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `the ports of instance ${id} cannot change while it runs: ${reason}`,
    {
      detail: [{ pointer: "/network/ports", reason }],
      hint: `ovm stop ${info.name} first: what is changed then is so when it is started again`,
    },
  )
}

/**
 * Tried a moment ago. One that is to be free is none that the machine has for when it is started, nor one that was
 * chosen for another that is being started.
 */
async function freePort(
  wanted: ReturnType<typeof wantedForward>,
  ports: readonly Port[],
  chosen: ChosenPorts,
): Promise<PortForward> {
  const take = (port: PortForward) => !ports.some((one) => ofOnePort(one, port)) && chosen.take(port)
  const [port] = await openPorts([wanted], { take })
  if (!port) throw new OvmError("OVM_INTERNAL", "no port was tried")
  return port
}

/** While a port was tried, it may have been started, stopped, or gone. */
function assertUnchanged(of: PortsOf, network: Network): void {
  const { instance, all } = of
  if (all.get(instance.id) === instance && changeable(of).network === network) return
  throw new OvmError("OVM_STATE_CONFLICT", `instance ${instance.id} has changed meanwhile`)
}

async function kept({ instance, told }: PortsOf, network: Network): Promise<void> {
  await instance.amend({ network })
  told("ports", instance, { ports: network.ports })
}

function isNamed(port: Port, { host, address = LOOPBACK, protocol = "tcp" }: PortNamed): boolean {
  return port.host === host && port.protocol === protocol && sameAddress(port.address, address)
}

function isSame(one: Port, other: Port): boolean {
  return isNamed(one, other) && one.guest === other.guest
}

function unknown({ info }: Instance, { host, address = LOOPBACK, protocol = "tcp" }: PortNamed): OvmError {
  const which = `${hostSide({ address, host })}/${protocol}`
  return new OvmError("OVM_PORT_UNKNOWN", `${info.name} has no port ${which} of this host`, {
    hint: `ovm port ${info.name} lists those that it has`,
  })
}
