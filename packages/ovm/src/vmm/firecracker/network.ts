import { randomBytes } from "node:crypto"
import { joinBridge } from "../../network/named/tap.ts"
import { INTERFACE, ownInterfaceFault } from "../../network/own-interface.ts"
import { findPasst } from "../../network/passt.ts"
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
  return network && network.mode !== "none" ? [`virtio-net,mac=${network.mac}`] : []
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

/** Why no machine can have a network of its own here; undefined if it can. */
export function networkFault(): string | undefined {
  if (findPasst() === undefined) return "there is no passt on this host (Debian: apt install passt)"
  return ownInterfaceFault()
}

/**
 * Gives a machine that has not begun its interface: the one that waits in a network of its own, or a place on the
 * bridge by one of this host, which is there as long as Firecracker has it open. Throws what asking and joinBridge do.
 */
export async function attachNetwork(opener: Opener, { network, directory }: LaunchPlan): Promise<void> {
  if (!network || network.mode === "none") return
  const { mac, bridge } = network
  const attach = (name: string) =>
    opener.api.ask("PUT", `/network-interfaces/${ID}`, { iface_id: ID, guest_mac: mac, host_dev_name: name })
  if (!bridge) {
    await attach(INTERFACE)
    return
  }
  const name = interfaceName()
  await opened(opener, name, () => attach(name))
  await joinBridge(name, { place: bridge, directory }, network)
}

/** The part of PUT /snapshot/load: whatever it was before, the guest's interface is one in a network of its own. */
export function ownNetwork(devices: readonly string[]): Readonly<Record<string, unknown>> {
  if (macInFirecracker(devices) === undefined) return {}
  return { network_overrides: [{ iface_id: ID, host_dev_name: INTERFACE }] }
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
