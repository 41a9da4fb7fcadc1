import type { ShareServer } from "../machine.ts"
import { type Identity, isAlive } from "../process/identity.ts"
import { loses } from "../process/lost.ts"

/** Whether one of `servers` has ended while its VMM lives: settles as `loses` does. */
export function losesServer(
  vmm: Identity,
  servers: readonly ShareServer[],
  signal: AbortSignal,
): Promise<boolean> {
  return loses(vmm, async () => (await Promise.all(servers.map(isAlive))).every(Boolean), signal)
}
