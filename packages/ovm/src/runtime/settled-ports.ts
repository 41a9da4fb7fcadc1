import { limiter } from "../files/limit.ts"
import { sameAddress } from "../network/address.ts"
import { forwardText, LOOPBACK } from "../network/forward.ts"
import type { Machine } from "../vmm/machine.ts"
import type { Log } from "./ending.ts"
import type { Instance } from "./instance.ts"
import type { Port, PortNamed } from "./interfaces.ts"

/** One change of an instance at a time: each begins with what the one before has left. */
const TURNS = new WeakMap<Instance, ReturnType<typeof limiter>>()
const FOLLOWED = new WeakSet<Machine>()

export async function inTurn<T>(instance: Instance, work: () => Promise<T>): Promise<T> {
  const turn = TURNS.get(instance) ?? limiter(1)
  TURNS.set(instance, turn)
  return await turn(work)
}

/**
 * Of a machine that runs: its ports are those that are open (OVMS-API-269), and its warnings tell of those that have
 * closed. False where none of them may close by itself.
 */
export async function settlePorts(instance: Instance, told: Log): Promise<boolean> {
  return await inTurn(instance, async () => {
    const { network, warnings } = instance.info
    const found = network && (await instance.machine?.ports?.list())
    if (!found) return false
    const { ports = [] } = network
    const added = found.open.filter((one) => !ports.some((known) => isSame(known, one)))
    const left = ports.filter((known) => found.open.some((one) => isSame(known, one)))
    if (added.length === 0 && left.length === ports.length) return found.fragile
    const closed = ports.filter((known) => !left.includes(known)).map(closedWord)
    await instance.change({
      network: { ...network, ports: [...left, ...added] },
      warnings: [...warnings, ...closed],
    })
    told("ports", instance, { ports: instance.info.network?.ports })
    return found.fragile
  })
}

/** Sees which ports of its machine close by themselves, for as long as one may (OVMS-API-275), until `signal` comes. */
export async function followPorts(instance: Instance, told: Log, signal: AbortSignal): Promise<void> {
  const { machine } = instance
  if (!machine || FOLLOWED.has(machine)) return
  FOLLOWED.add(machine)
  try {
    for (;;) {
      // Before it is looked at: what changes from then on is told.
      const change = await machine.ports?.changed?.(signal)
      if (!(await settlePorts(instance, told)) || !change) return
      await change.over
      if (signal.aborted || instance.machine !== machine) return
    }
  } finally {
    FOLLOWED.delete(machine)
  }
}

export function isNamed(port: Port, { host, address = LOOPBACK, protocol = "tcp" }: PortNamed): boolean {
  return port.host === host && port.protocol === protocol && sameAddress(port.address, address)
}

function isSame(one: Port, other: Port): boolean {
  return isNamed(one, other) && one.guest === other.guest
}

function closedWord(port: Port): string {
  return `port ${forwardText(port)} has closed: what carried it has ended`
}
