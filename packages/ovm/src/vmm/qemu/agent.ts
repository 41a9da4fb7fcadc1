import type { Socket } from "node:net"
import type { MachineRecord } from "../machine.ts"
import { connectIn } from "../process/socket.ts"
import { asJson } from "./options.ts"

/** In a model: the way to an agent inside the guest (spec/agent.md). */
export const AGENT_DEVICE = "virtio-serial-pci,agent"
const PORT = "org.ovms.agent.0"
/** In the instance's directory, where QEMU runs. */
const AGENT_SOCKET = "agent.sock"
/** The slot before the network's (network.ts), for the same reason. */
const SLOT = "0x1d"

/** Loader.agentIn of QEMU. */
export function agentIn(devices: readonly string[]): boolean {
  return devices.includes(AGENT_DEVICE)
}

/** The part of the command line. */
export function agentArguments(devices: readonly string[]): string[] {
  if (!agentIn(devices)) return []
  return [
    ...["-chardev", `socket,id=agent,path=${AGENT_SOCKET},server=on,wait=off`],
    ...asJson("-device", { driver: "virtio-serial-pci", id: "agents", max_ports: 2, addr: SLOT }),
    ...asJson("-device", { driver: "virtserialport", bus: "agents.0", chardev: "agent", name: PORT }),
  ]
}

/** Machine.agent of QEMU: undefined for a machine without. */
export function agentOf({
  directory,
  model,
}: MachineRecord): (() => Promise<Socket | undefined>) | undefined {
  if (!agentIn(model?.devices ?? [])) return undefined
  return () => connectIn(directory, AGENT_SOCKET)
}
