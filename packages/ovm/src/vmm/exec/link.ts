import { OvmError } from "../../errors.ts"
import { NetworkLink } from "../../network/link.ts"
import type { MachineLink } from "../../network/machine-link.ts"
import { TapLink } from "../../network/named/tap.ts"
import { findPasst } from "../../network/passt.ts"
import type { LaunchPlan, NetworkPlan, Unsupported } from "../plan.ts"
import type { Frames } from "./request.ts"

/** How frames of such a machine go; undefined where they go nowhere. */
export function framesOf(network: NetworkPlan | undefined): Frames | undefined {
  if (!network || network.mode === "none") return undefined
  return network.mode === "bridge" ? "tap" : "stream"
}

/** Passt is the one way to have a network of one's own without rights of the host, whatever the VMM. */
export function* checkLink(network: NetworkPlan | undefined): Iterable<Unsupported> {
  if (framesOf(network) === "stream" && findPasst() === undefined)
    yield {
      pointer: "/network",
      severity: "fatal",
      reason: "there is no passt on this host (Debian: apt install passt)",
    }
}

/** What is to carry the frames. Throws OVM_HOST_FAILED if the passt that was there for the check is gone. */
export function linkOf({ network, directory }: LaunchPlan): MachineLink | undefined {
  const frames = framesOf(network)
  if (frames === undefined) return undefined
  if (network?.bridge) return new TapLink(network.bridge, directory)
  const passt = findPasst()
  if (passt === undefined) throw new OvmError("OVM_HOST_FAILED", "passt is not on PATH any more")
  return new NetworkLink(passt, directory)
}

/** Where nothing may lead out, nothing is allowed. */
export function connectionOf(network: NetworkPlan): Parameters<MachineLink["start"]>[0] {
  const { mac, forwards, outbound, allowed } = network
  if (!outbound) return { mac, forwards, allowed: [] }
  return { mac, forwards, ...(allowed && { allowed }) }
}
