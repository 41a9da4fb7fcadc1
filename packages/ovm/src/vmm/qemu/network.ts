import { findPasst } from "../../network/passt.ts"
import type { GuestModel, LaunchPlan, NetworkPlan, Unsupported } from "../plan.ts"
import { INHERITED } from "../process/keeper.ts"

/** What carries the guest's frames: a passt, QEMU's own network with nothing but its ports, a bridge, or nothing. */
export type Carrier = "passt" | "slirp" | "tap" | "none"

/** The ids of the guest's interface and of what it is connected to. */
export const NIC = "nic"
export const NET = "net"

/**
 * The slot of the PCI bus that the interface is in: the last one that is free on a q35, so that it takes none from the
 * devices that find their own, and has the same name in every guest (enp0s30).
 */
const SLOT = "0x1e"

const DEVICE = /^virtio-net-pci,mac=((?:[0-9a-f]{2}:){5}[0-9a-f]{2})$/

/** In a model: QEMU's own network, which has a state of its own in every snapshot. */
const SLIRP = "slirp"

/** As in a model, of a new machine. */
export function networkDevices({ network }: LaunchPlan): readonly string[] {
  return network ? [`virtio-net-pci,mac=${network.mac}`, ...ownNetwork(network)] : []
}

function ownNetwork({ mode, outbound }: NetworkPlan): readonly string[] {
  return mode === "user" && !(outbound && findPasst() !== undefined) ? [SLIRP] : []
}

/** The model of a machine that goes on from a snapshot: with QEMU's own network where that is what it gets here. */
export function withNetwork(model: GuestModel, { network }: LaunchPlan): GuestModel {
  const { devices } = model
  const own = network && carrierOf(network, devices) === "passt" ? ownNetwork(network) : []
  return { ...model, devices: [...devices, ...own] }
}

/** Those of a snapshot's devices that are its network. */
export function networkOf(devices: readonly string[]): readonly string[] {
  return devices.filter((device) => DEVICE.test(device) || device === SLIRP)
}

const CARRIERS: Readonly<Record<NetworkPlan["mode"], Carrier>> = {
  user: "passt",
  bridge: "tap",
  none: "none",
}

/** Loader.macIn of QEMU. */
export function macIn(devices: readonly string[]): string | undefined {
  for (const device of devices) {
    const mac = DEVICE.exec(device)?.[1]
    if (mac !== undefined) return mac
  }
  return undefined
}

/** A state of QEMU's own network can be given to nothing else, whatever else there is. */
export function carrierOf(network: NetworkPlan | undefined, devices: readonly string[]): Carrier {
  if (macIn(devices) === undefined) return "none"
  if (devices.includes(SLIRP)) return "slirp"
  return network ? CARRIERS[network.mode] : "none"
}

/** The part of the command line. What is behind passt's connection, or on the bridge, is inherited. */
export function networkArguments(
  { network }: LaunchPlan,
  devices: readonly string[],
): readonly (readonly [string, Record<string, unknown>])[] {
  const mac = macIn(devices)
  if (mac === undefined) return []
  const carrier = carrierOf(network, devices)
  // Without a ROM: it would have the firmware look for something to boot, and be RAM of a snapshot.
  const nic = { driver: "virtio-net-pci", id: NIC, mac, romfile: "", addr: SLOT }
  if (carrier === "none") return [["-device", nic]]
  const inherited = String(INHERITED)
  const nets = {
    passt: { type: "stream", id: NET, server: false, addr: { type: "fd", str: inherited } },
    tap: { type: "tap", id: NET, fd: inherited, vhost: false },
    slirp: { type: "user", id: NET, restrict: true, hostfwd: hostForwards(network) },
  }
  return [
    ["-netdev", nets[carrier]],
    ["-device", { ...nic, netdev: NET }],
  ]
}

function hostForwards(network: NetworkPlan | undefined): readonly { readonly str: string }[] {
  return (network?.forwards ?? []).map(({ protocol, address, host, guest }) => ({
    str: `${protocol}:${address}:${host}-:${guest}`,
  }))
}

/** What is not as it was asked for, and what cannot be; `snapshot` are its devices, of a machine that goes on. */
export function* checkNetwork(
  { network }: LaunchPlan,
  snapshot: readonly string[] = [],
): Iterable<Unsupported> {
  if (network?.mode !== "user") return
  if (!snapshot.includes(SLIRP) && ownNetwork(network).length === 0) return
  for (const { address } of network.forwards)
    if (address.includes(":"))
      yield {
        pointer: "/network/ports",
        severity: "fatal",
        reason: `QEMU's own network opens no port of an IPv6 address (${address})`,
      }
  if (network.outbound)
    yield { pointer: "/network/outbound", severity: "degraded", reason: restricted(snapshot) }
}

function restricted(snapshot: readonly string[]): string {
  const why = snapshot.includes(SLIRP)
    ? "the snapshot is of a machine with QEMU's own network"
    : "there is no passt on this host (Debian: apt install passt)"
  return `${why}: ports of the guest can be published, and it cannot connect to anything itself`
}
