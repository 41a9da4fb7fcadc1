import { randomBytes } from "node:crypto"
import { joinBridge } from "../../network/named/tap.ts"
import type { LaunchPlan } from "../plan.ts"
import type { Api } from "./api.ts"

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

/**
 * Gives a machine that has not begun its place on the bridge. Firecracker makes the interface of this host, which is
 * there as long as it has it open. Throws what asking
 * and joinBridge do.
 */
export async function attachNetwork(api: Api, { network, directory }: LaunchPlan): Promise<void> {
  if (!network?.bridge) return
  const { mac, bridge } = network
  const name = interfaceName()
  await api.ask("PUT", `/network-interfaces/${ID}`, { iface_id: ID, guest_mac: mac, host_dev_name: name })
  await joinBridge(name, { place: bridge, directory }, network)
}

/** The part of PUT /snapshot/load: the guest's interface leads nowhere, as it has another one's MAC address. */
export function looseNetwork(devices: readonly string[]): Readonly<Record<string, unknown>> {
  if (macInFirecracker(devices) === undefined) return {}
  return { network_overrides: [{ iface_id: ID, host_dev_name: interfaceName() }] }
}

/** At most 15 characters, and nobody else's. */
function interfaceName(): string {
  return `ovmtap-${randomBytes(4).toString("hex")}`
}
