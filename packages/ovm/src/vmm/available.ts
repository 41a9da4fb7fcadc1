import { OvmError } from "../errors.ts"
import { qemu } from "./qemu/index.ts"
import type { Vmm } from "./vmm.ts"

/**
 * Every VMM that this program has an adapter for, the preferred one first; whether it is installed is `capabilities`'
 * answer. `names`: only these, in this order. Throws OVM_SETTINGS_INVALID for one that there is no adapter for.
 */
export function availableVmms(cacheFolder: string, names?: readonly string[]): readonly Vmm[] {
  const all = [qemu(cacheFolder)]
  return names === undefined
    ? all
    : names.map((name) => all.find((vmm) => vmm.name === name) ?? missing(name))
}

function missing(name: string): never {
  throw new OvmError(
    "OVM_SETTINGS_INVALID",
    `daemon.json: vmms: there is no adapter for ${JSON.stringify(name)}`,
    { hint: "ovm info says where the file is" },
  )
}
