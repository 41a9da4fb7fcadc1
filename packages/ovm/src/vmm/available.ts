import type { Vmm } from "./interfaces.ts"
import { qemu } from "./qemu/index.ts"

/** Every VMM that this program has an adapter for, the preferred one first; whether it is installed is `capabilities`' answer. */
export function availableVmms(cacheFolder: string): readonly Vmm[] {
  return [qemu(cacheFolder)]
}
