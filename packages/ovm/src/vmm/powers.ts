import type { LaunchPlan } from "./plan.ts"
import type { Vmm } from "./vmm.ts"

/** Something that a machine may be asked to have. */
export interface Power {
  readonly name: string
  readonly offered: boolean
  /** Why not, in the VMM's words. */
  readonly reason?: string
}

const MiB = 2 ** 20
const NOWHERE = "/nonexistent"
const BASE: LaunchPlan = {
  id: "powers",
  directory: NOWHERE,
  resources: { vcpus: 1, memory: 64 * MiB },
  kernel: { path: NOWHERE, args: "" },
  devices: [],
  consoleLimit: MiB,
}
const DISK = { layers: [{ path: NOWHERE, format: "raw" as const }], size: MiB, writable: false }
const { kernel: _, ...DISK_ONLY } = { ...BASE, disk: DISK }
const NETWORK = { mode: "user" as const, mac: "02:00:00:00:00:01", forwards: [], outbound: true }
const SHARE = { source: NOWHERE, target: "/mnt", tag: "share0", readOnly: true }

/** A plan that asks for one thing beside a kernel. */
const ASKING: readonly (readonly [name: string, plan: LaunchPlan])[] = [
  ["bios", DISK_ONLY],
  ["uefi", { ...DISK_ONLY, uefi: { variables: "/" } }],
  ["secure-boot", { ...DISK_ONLY, uefi: { variables: "/", secureBoot: true } }],
  ["tpm", { ...BASE, tpm: { state: NOWHERE } }],
  ["disk", { ...BASE, disk: DISK }],
  ["disks", { ...BASE, disks: [{ name: "further", layers: DISK.layers, size: MiB }] }],
  ["volumes", { ...BASE, volumes: [{ path: NOWHERE, serial: "volume", readOnly: true }] }],
  ["shares", { ...BASE, shares: [SHARE] }],
  ["network", { ...BASE, network: NETWORK }],
  ["agent", { ...BASE, agent: true }],
  ["ignition", { ...BASE, ignition: { path: NOWHERE } }],
  ...["ivshmem", "rng", "serial", "vsock"].map(
    (type) => [`device ${type}`, { ...BASE, devices: [deviceOf(type)] }] as const,
  ),
]

function deviceOf(type: string): LaunchPlan["devices"][number] {
  return { type, name: "asked", required: true, ...(type === "ivshmem" && { size: MiB }) }
}

/**
 * What machines of `vmm` could have here: whatever its `check` finds nothing against. Throws what `check` throws, such
 * as OVM_VMM_MISSING.
 */
export async function powersOf(vmm: Vmm): Promise<readonly Power[]> {
  const { snapshots } = await vmm.capabilities()
  const asked = ASKING.map(async ([name, plan]): Promise<Power> => {
    const fault = (await vmm.check(plan)).find(({ severity }) => severity === "fatal")
    return { name, offered: fault === undefined, ...(fault && { reason: fault.reason }) }
  })
  return [{ name: "snapshots", offered: snapshots !== undefined }, ...(await Promise.all(asked))]
}
