import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { Instance } from "./instance.ts"
import type { InstanceInfo, Overrides, StartRequest } from "./interfaces.ts"
import { askedVolumes } from "./kept-volumes.ts"
import type { Defaults, Limits } from "./limits.ts"
import { chooseName } from "./names.ts"
import { resourcesOf } from "./plan.ts"
import { freeName } from "./removals.ts"
import { isRestarted } from "./restart-policy.ts"
import { assertAllowed, assertBoundable, boundsOf, shownResources } from "./share.ts"
import { hasEnded } from "./states.ts"

export interface Admission {
  /** Directory that holds one directory an instance. */
  readonly folder: string
  readonly instances: Map<string, Instance>
  readonly limits: Limits
  readonly defaults: Defaults
}

/** How many have not ended. */
export function countRunning(instances: ReadonlyMap<string, Instance>): number {
  return instances.values().reduce((count, instance) => count + (hasEnded(instance.state) ? 0 : 1), 0)
}

/** Throws OVM_TOO_MANY if one more cannot run. */
export function assertRoomToRun({ instances, limits: { running } }: Admission): void {
  if (countRunning(instances) < running) return
  throw new OvmError("OVM_TOO_MANY", `${running} instances are running, which is the limit`, {
    hint: "ovm ps, ovm stop ID",
  })
}

/** Throws OVM_UNSUPPORTED for a machine that could not be put aside (OVMS-STA-068). */
function refuseStandby({ standbyAfter, volumes = [], shares = [], network, exec }: Overrides): void {
  if (standbyAfter === undefined) return
  const what =
    (volumes.length > 0 && "volumes") ||
    (shares.length > 0 && "shares") ||
    (network?.name !== undefined && "a network that machines share") ||
    // It would be ended by the agent once that is spoken to anew (OVMS-AGT-012).
    (exec && "a command of its own")
  if (what)
    throw new OvmError("OVM_UNSUPPORTED", `standbyAfter: a machine with ${what} is not put on standby`, {
      detail: [{ pointer: "standbyAfter", reason: `the machine has ${what}` }],
    })
}

/** Takes a start on, or says which limit forbids it. Not asynchronous: two starts cannot take the same name. */
export function accept(
  admission: Admission,
  id: string,
  request: StartRequest,
  facts: Partial<InstanceInfo> = {},
): Instance {
  const { folder, instances, limits, defaults } = admission
  const overrides = request.overrides ?? {}
  if (overrides.autoRemove && isRestarted(overrides.restart))
    throw new OvmError(
      "OVM_REQUEST_INVALID",
      `overrides.autoRemove: with the restart policy ${overrides.restart} it would be started again, not removed`,
    )
  refuseStandby(overrides)
  const resources = resourcesOf(undefined, overrides, defaults)
  const bounds = boundsOf(overrides, defaults, resources.memory)
  // What the manifest asks for is known later.
  assertAllowed({ resources, bounds }, limits)
  assertBoundable(bounds)
  assertRoomToRun(admission)
  freeName(overrides.name, instances)
  if (instances.size >= limits.instances)
    throw new OvmError("OVM_TOO_MANY", `${limits.instances} instances are on record, which is the limit`, {
      hint: "ovm rm ID",
    })
  const info: InstanceInfo = {
    instance_id: id,
    name: chooseName(
      overrides.name,
      request.manifest,
      instances.values().map((instance) => instance.info),
    ),
    ...(overrides.labels && { labels: overrides.labels }),
    state: "starting",
    phase: "resolving",
    image: { reference: request.manifest },
    resources: shownResources({ resources, bounds }),
    timings_ms: {},
    warnings: [],
    ...(isRestarted(overrides.restart) && { restart: overrides.restart }),
    ...(overrides.autoRemove && { auto_remove: true }),
    ...(overrides.standbyAfter !== undefined && { standby_after: overrides.standbyAfter }),
    created: new Date().toISOString(),
    ...facts,
  }
  const instance = new Instance(join(folder, id), info)
  instance.request = request
  instance.volumes = askedVolumes(request)
  instances.set(id, instance)
  return instance
}
