import { outside } from "./exec/index.ts"
import { firecracker } from "./firecracker/index.ts"
import type { JailSettings } from "./firecracker/jail/settings.ts"
import { qemu } from "./qemu/index.ts"
import type { Vmm } from "./vmm.ts"

/**
 * Every VMM that this program has an adapter for, the preferred one first; whether it is installed is `capabilities`'
 * answer. `names`: only these, in this order; one that is none of its own has an adapter outside, which is executed for
 * no other reason (OVMS-ADP-002). `jail` is what an operator said of jails.
 */
export function availableVmms(
  cacheFolder: string,
  names?: readonly string[],
  jail?: JailSettings,
): readonly Vmm[] {
  const all: readonly Vmm[] = [qemu(cacheFolder), firecracker(cacheFolder, jail)]
  return names === undefined
    ? all
    : names.map((name) => all.find((vmm) => vmm.name === name) ?? outside(name))
}

/** Those that are told of where nobody asked for one by name: all if none of them is installed. */
export function spokenOf(vmms: readonly Vmm[]): readonly Vmm[] {
  const installed = vmms.filter((vmm) => vmm.installed?.() ?? true)
  return installed.length > 0 ? installed : vmms
}
