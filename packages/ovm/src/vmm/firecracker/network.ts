import { randomBytes } from "node:crypto"
import { joinBridge } from "../../network/named/tap.ts"
import type { LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"
import type { Jail } from "./jail/place.ts"
import { withTap } from "./jail/tap.ts"

const DEVICE = /^virtio-net,mac=((?:[0-9a-f]{2}:){5}[0-9a-f]{2})$/
const ID = "net"

/** Loader.macIn of Firecracker. */
export function macInFirecracker(devices: readonly string[]): string | undefined {
  return interfaceIn(devices).map((device) => DEVICE.exec(device)?.[1])[0]
}

/** As in a model, of a new machine: one that is connected to nothing has no interface. */
export function interfaceOf({ network }: LaunchPlan): readonly string[] {
  return network?.bridge ? [`virtio-net,mac=${network.mac}`] : []
}

/** Those of a snapshot's devices that are its network. */
export function interfaceIn(devices: readonly string[]): readonly string[] {
  return devices.filter((device) => DEVICE.test(device))
}

/** Firecracker, and the jail that it is in, if it is in one. */
export interface Opener {
  readonly api: Api
  readonly pid: number
  readonly jail?: Jail | undefined
}

/**
 * Gives a machine that has not begun its place on the bridge. The interface of this host is there as long as
 * Firecracker has it open. Throws what asking and joinBridge do.
 */
export async function attachNetwork(opener: Opener, { network, directory }: LaunchPlan): Promise<void> {
  if (!network?.bridge) return
  const { mac, bridge } = network
  const name = interfaceName()
  const body = { iface_id: ID, guest_mac: mac, host_dev_name: name }
  await opened(opener, name, () => opener.api.ask("PUT", `/network-interfaces/${ID}`, body))
  await joinBridge(name, { place: bridge, directory }, network)
}

/**
 * Has `load` call PUT /snapshot/load with a part of its body: the guest's interface leads nowhere, as it has another
 * one's MAC address. Throws what that does, OVM_HOST_FAILED.
 */
export async function withLooseNetwork(
  opener: Opener,
  devices: readonly string[],
  load: (part: Readonly<Record<string, unknown>>) => Promise<unknown>,
): Promise<void> {
  if (macInFirecracker(devices) === undefined) {
    await load({})
    return
  }
  const name = interfaceName()
  await opened(opener, name, () => load({ network_overrides: [{ iface_id: ID, host_dev_name: name }] }))
}

/** Has Firecracker open the interface `name`, which it makes where it may. */
async function opened({ jail, pid }: Opener, name: string, open: () => Promise<unknown>): Promise<void> {
  if (jail) await withTap({ ...jail, pid, name }, open)
  else await open()
}

/** At most 15 characters, and nobody else's. */
function interfaceName(): string {
  return `ovmtap-${randomBytes(4).toString("hex")}`
}
