import { join } from "node:path"
import { toOvmError } from "../../errors.ts"
import type { MachineDevice, MachineRecord } from "../machine.ts"
import type { LaunchPlan } from "../plan.ts"
import { JAILED } from "../process/jailed.ts"
import { API_SOCKET, type Api } from "./api.ts"

/** Where Firecracker works: of the one vsock device that a machine may have. */
export const VSOCK_SOCKET = "vsock.sock"
/** The guest's address on it. */
const GUEST_CID = 3
/** In a model: one for the agent, which the machine's own programs may use as well, and one for those alone. */
export const VSOCK_AGENT = "virtio-vsock,agent"
const OWN_DEVICE = "virtio-vsock"

/** As in a model; `snapshot` are the devices of a machine that goes on. */
export function vsockDevices(
  { agent, devices }: LaunchPlan,
  snapshot?: readonly string[],
): readonly string[] {
  if (snapshot) return snapshot.filter((device) => device === VSOCK_AGENT || device === OWN_DEVICE)
  if (agent) return [VSOCK_AGENT]
  return devices.some(({ type }) => type === "vsock") ? [OWN_DEVICE] : []
}

/** Throws what asking does. */
export async function attachVsock(api: Api, plan: LaunchPlan): Promise<void> {
  if (vsockDevices(plan).length === 0) return
  await api.ask("PUT", "/vsock", { guest_cid: GUEST_CID, uds_path: VSOCK_SOCKET })
}

/** Versions that take a guest that goes on for one that was told of a reset. */
const WAITS_FOR_RESET = /^1\.16\./
/** A socket is no folder. */
const NOWHERE = join(API_SOCKET, "nowhere")

/**
 * Tells the guest, which stands still, that all streams are over. Where it goes on without that, some versions of
 * Firecracker let nothing more through to it (its issue 6100). Says whether it was told. There is no command for it:
 * it is the first thing that is done for a snapshot, also for one that cannot be written.
 */
export async function tellReset(api: Api, { version, model }: MachineRecord): Promise<boolean> {
  if (!WAITS_FOR_RESET.test(version) || !hasVsock(model?.devices ?? [])) return false
  const body = { snapshot_type: "Full", snapshot_path: NOWHERE, mem_file_path: NOWHERE }
  try {
    await api.ask("PUT", "/snapshot/create", body)
  } catch (thrown) {
    if (toOvmError(thrown).code !== "OVM_VMM_FAILED") throw thrown
  }
  return true
}

function hasVsock(devices: readonly string[]): boolean {
  return devices.includes(VSOCK_AGENT) || devices.includes(OWN_DEVICE)
}

/** What the host has of a machine's devices, in a jail or not. */
export function withSocket(
  { devices = [] }: { readonly devices?: readonly MachineDevice[] },
  jailed: boolean,
): { readonly devices?: readonly MachineDevice[] } {
  if (devices.length === 0) return {}
  const file = jailed ? join(JAILED, VSOCK_SOCKET) : VSOCK_SOCKET
  return { devices: devices.map((device) => (device.type === "vsock" ? { ...device, file } : device)) }
}
