import type { Socket } from "node:net"
import type { MachineRecord } from "../machine.ts"
import type { LaunchPlan } from "../plan.ts"
import { connectIn } from "../process/socket.ts"
import { asJson } from "./options.ts"

/** In a model: the way to an agent inside the guest, and to QEMU's guest agent (spec/agent.md). */
export const AGENT_DEVICE = "virtio-serial-pci,agent"
const GUEST_AGENT_DEVICE = "virtserialport,guest-agent"
const PORT = "org.ovms.agent.0"
const GUEST_AGENT_PORT = "org.qemu.guest_agent.0"
/** What QEMU calls the ports in its events. */
export const AGENT_ID = "agent-port"
export const GUEST_AGENT_ID = "guest-agent-port"
/** In the instance's directory, where QEMU runs. */
const AGENT_SOCKET = "agent.sock"
const GUEST_AGENT_SOCKET = "guest-agent.sock"
/** The slot before the network's (network.ts), for the same reason. */
const SLOT = "0x1d"

/** In a model; `snapshot` are the devices of one that the machine goes on from. */
export function agentDevices({ agent }: LaunchPlan, snapshot?: readonly string[]): readonly string[] {
  const both = [AGENT_DEVICE, GUEST_AGENT_DEVICE]
  return snapshot ? both.filter((device) => snapshot.includes(device)) : agent ? both : []
}

/** Loader.agentIn of QEMU. */
export function agentIn(devices: readonly string[]): boolean {
  return devices.includes(AGENT_DEVICE)
}

/** The part of the command line. */
export function agentArguments(devices: readonly string[]): string[] {
  if (!agentIn(devices)) return []
  const both = devices.includes(GUEST_AGENT_DEVICE)
  const port = { driver: "virtserialport", id: AGENT_ID, bus: "agents.0", chardev: "agent", name: PORT }
  // The first port of all is kept for a console.
  const ports = { driver: "virtio-serial-pci", id: "agents", max_ports: both ? 3 : 2, addr: SLOT }
  return [
    ...["-chardev", `socket,id=agent,path=${AGENT_SOCKET},server=on,wait=off`],
    ...asJson("-device", ports),
    ...asJson("-device", port),
    ...(both ? guestAgentArguments() : []),
  ]
}

function guestAgentArguments(): string[] {
  const chardev = "guest-agent"
  const port = {
    driver: "virtserialport",
    id: GUEST_AGENT_ID,
    bus: "agents.0",
    chardev,
    name: GUEST_AGENT_PORT,
  }
  return [
    ...["-chardev", `socket,id=guest-agent,path=${GUEST_AGENT_SOCKET},server=on,wait=off`],
    ...asJson("-device", port),
  ]
}

type Way = (() => Promise<Socket | undefined>) | undefined

/** Machine.agent of QEMU: undefined for a machine without. */
export function agentOf({ directory, model }: MachineRecord): Way {
  return agentIn(model?.devices ?? []) ? () => connectIn(directory, AGENT_SOCKET) : undefined
}

/** Machine.guestAgent of QEMU, likewise. */
export function guestAgentOf({ directory, model }: MachineRecord): Way {
  if (!model?.devices.includes(GUEST_AGENT_DEVICE)) return undefined
  return () => connectIn(directory, GUEST_AGENT_SOCKET)
}
