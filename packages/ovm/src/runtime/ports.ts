import { OvmError } from "../errors.ts"
import type { ChosenPorts } from "../network/chosen-ports.ts"
import { isEveryFamily, ofOnePort, portInUse } from "../network/clash.ts"
import { hostSide, LOOPBACK, type PortForward, type WantedForward } from "../network/forward.ts"
import { openPorts } from "../network/open-ports.ts"
import type { OpenPorts } from "../vmm/machine.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo, Port, PortNamed, PortRemoved, PortRequest } from "./interfaces.ts"
import { assertMayHave, assertPortsFree, wantedForward } from "./network.ts"
import { inTurn, isNamed } from "./settled-ports.ts"
import { hasEnded } from "./states.ts"

type Network = NonNullable<InstanceInfo["network"]>

/** Whose ports change, among which instances, and who hears of it. */
export interface PortsOf {
  readonly instance: Instance
  readonly all: ReadonlyMap<string, Instance>
  readonly told: Log
  readonly chosen: ChosenPorts
  /** Sees to the ports of a machine that may close by themselves. */
  readonly follow: (instance: Instance) => void
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
    const port = (await heldBy(open, wanted)) ?? (await freePort(wanted, ports, of.chosen))
    assertUnchanged(of, network)
    await open?.open(port)
    const warnings = instance.info.warnings.filter((one) => one !== heldWord(port))
    await kept(of, [...ports, port], warnings).catch(async (thrown) => {
      await open?.close(port)
      throw thrown
    })
    if (open) of.follow(instance)
    return port
  })
}

/** Runtime.removePort (OVMS-API-267): closed first, for the same reason. */
export async function removePortFrom(of: PortsOf, named: PortNamed): Promise<PortRemoved> {
  return await inTurn(of.instance, async () => {
    const { network, open } = changeable(of)
    const { ports = [] } = network
    const port = ports.find((one) => isNamed(one, named))
    if (!port) throw unknown(of.instance, named)
    const held = (await open?.close(port))?.held ?? false
    const { warnings } = of.instance.info
    const left = ports.filter((one) => one !== port)
    await kept(of, left, held ? [...warnings, heldWord(port)] : warnings).catch(async (thrown) => {
      await open?.open(port)
      throw thrown
    })
    return { ...port, ...(held && { held }) }
  })
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
  if (hasEnded(state) || network.mode === "none") return { network }
  if (machine?.ports) return { network, open: machine.ports }
  const reason = "what carries its network takes no ports up later"
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `the ports of instance ${id} cannot change while it runs: ${reason}`,
    {
      detail: [{ pointer: "/network/ports", reason }],
      hint: `ovm stop ${info.name} first: what is changed then is so when it is started again`,
    },
  )
}

/** In `warnings`, of a port that nobody gets in by any more. */
function heldWord(port: Port): string {
  return `port ${hostSide(port)}/${port.protocol} is closed, and nobody else's before the machine ends: it was opened with it`
}

/** The port that is wanted, if the machine has it still and only closed it: nobody need try it. */
async function heldBy(open: OpenPorts | undefined, wanted: WantedForward): Promise<PortForward | undefined> {
  if (wanted.host === undefined) return undefined
  const found = await open?.list()
  return found?.held.find((one) => isNamed(one, { ...wanted, host: one.host }) && sameWay(one, wanted))
}

const sameWay = (one: PortForward, wanted: WantedForward): boolean =>
  one.host === wanted.host && one.guest === wanted.guest

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

async function kept(
  { instance, told }: PortsOf,
  ports: readonly Port[],
  warnings: readonly string[],
): Promise<void> {
  const { network } = instance.info
  if (network)
    await instance.change(
      { network: { ...network, ports: [...ports] }, warnings: [...warnings] },
      { record: "written" },
    )
  told("ports", instance, { ports })
}

function unknown({ info }: Instance, { host, address = LOOPBACK, protocol = "tcp" }: PortNamed): OvmError {
  const which = `${hostSide({ address, host })}/${protocol}`
  return new OvmError("OVM_PORT_UNKNOWN", `${info.name} has no port ${which} of this host`, {
    hint: `ovm port ${info.name} lists those that it has`,
  })
}
