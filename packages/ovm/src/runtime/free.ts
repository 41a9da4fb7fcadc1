import type { Startable } from "./again.ts"
import type { Instance } from "./instance.ts"
import type { InstanceInfo, Overrides } from "./interfaces.ts"
import { assertPortsFree } from "./network.ts"
import { assertVolumesFree } from "./volumes.ts"

/** What an instance is to have of the host for itself. */
interface Needed {
  readonly id: string
  readonly overrides: Overrides
  /** Of one that has been started before. */
  readonly network?: InstanceInfo["network"]
}

/** What one that is started again has had: its volumes are those that it has, whatever its request says. */
export function neededBy({ id, request, volumes, info: { network } }: Startable): Needed {
  return { id, overrides: { ...request?.overrides, volumes }, ...(network && { network }) }
}

/**
 * Throws OVM_VOLUME_IN_USE or OVM_PORT_IN_USE for what another one has. Not asynchronous: of two starts one is first.
 */
export function assertFree(
  instances: ReadonlyMap<string, Instance>,
  { id, overrides, network }: Needed,
): void {
  assertVolumesFree(instances, id, overrides)
  assertPortsFree(instances, id, overrides, network)
}
