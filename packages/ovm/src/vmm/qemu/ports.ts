import { isIPv6 } from "node:net"
import { OvmError } from "../../errors.ts"
import { portInUse } from "../../network/clash.ts"
import type { PortForward, Protocol } from "../../network/forward.ts"
import type { MachineRecord, OpenPorts } from "../machine.ts"
import { networkPortsOf } from "../process/network-ports.ts"
import { carrierOf, NET } from "./network.ts"
import type { Qmp } from "./qmp.ts"

/**
 * Machine.ports: QEMU's own network takes and gives them at its monitor for people; with another, whoever carries its
 * frames does, which is there once `carried` has settled.
 */
export function openPortsOf(
  { model, directory }: MachineRecord,
  qmp: Qmp,
  carried?: Promise<void>,
): OpenPorts | undefined {
  if (carrierOf(undefined, model?.devices ?? []) !== "slirp") return networkPortsOf(directory, carried)
  const say = async (line: string) =>
    String(await qmp.execute("human-monitor-command", { "command-line": line })).trim()
  return {
    list: async () => ({ open: forwardsIn(await say("info usernet")), held: [], fragile: false }),
    open: async (forward) => {
      if (isIPv6(forward.address)) throw unsupported(forward)
      const trouble = await say(`hostfwd_add ${NET} ${hostSideOf(forward)}-:${forward.guest}`)
      if (trouble !== "") throw portInUse(forward, "", new Error(trouble))
    },
    close: async (forward) => {
      const answer = await say(`hostfwd_remove ${NET} ${hostSideOf(forward)}`)
      if (!/ removed$/.test(answer))
        throw new OvmError("OVM_VMM_FAILED", `QEMU did not close a port: ${answer}`)
      return { held: false }
    },
  }
}

function hostSideOf({ protocol, address, host }: PortForward): string {
  return `${protocol}:${address}:${host}`
}

function unsupported({ address }: PortForward): OvmError {
  const reason = `QEMU's own network opens no port of an IPv6 address (${address})`
  return new OvmError("OVM_UNSUPPORTED", `network.ports: ${reason}`, {
    detail: [{ pointer: "/network/ports", reason }],
  })
}

/** `TCP[HOST_FORWARD] 12 127.0.0.1 8080 10.0.2.15 80 0 0`; an address that is every one is `*`. */
function forwardsIn(usernet: string): readonly PortForward[] {
  const lines = usernet.matchAll(/^\s*(TCP|UDP)\[HOST_FORWARD\]\s+\S+\s+(\S+)\s+(\d+)\s+\S+\s+(\d+)\s/gm)
  return Array.from(lines, ([, protocol = "", address = "", host, guest]) => ({
    protocol: protocol.toLowerCase() as Protocol,
    address: address === "*" ? "0.0.0.0" : address,
    host: Number(host),
    guest: Number(guest),
  }))
}
