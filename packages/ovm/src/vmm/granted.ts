import type { MachineDevice } from "./machine.ts"
import type { LaunchPlan, Unsupported } from "./plan.ts"

/** Those of a plan's devices that `check` found nothing against but their address (MachineRecord.devices). */
export function grantedDevices(
  { devices }: LaunchPlan,
  findings: readonly Unsupported[],
): { readonly devices?: readonly MachineDevice[] } {
  const lacking = new Set(
    findings.map(({ pointer }) => /^\/devices\/(\d+)(\/type|\/size)?$/.exec(pointer)?.[1]),
  )
  const granted = devices
    .filter((_, index) => !lacking.has(String(index)))
    .map(({ type, name, size }) => ({ type, name, ...(size !== undefined && { size }) }))
  return granted.length > 0 ? { devices: granted } : {}
}
