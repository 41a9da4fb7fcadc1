import { setTimeout as sleep } from "node:timers/promises"
import { MOST_OVERLAYS } from "../artifact/snapshot/limits.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { Machine } from "../vmm/machine.ts"
import type { InstantSink, SnapshotParts, Snapshotter } from "../vmm/snapshot.ts"
import { refuseFurther } from "./disks.ts"
import type { Instance } from "./instance.ts"
import type { Lineage } from "./record.ts"
import { hold } from "./scratch.ts"
import { refuseTpm } from "./tpm.ts"

/** A machine of which RAM, device state and disk of one instant can be taken. */
export interface Takable {
  readonly machine: Machine & Snapshotter
  readonly lineage: Lineage
}

/** Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED, OVM_TOO_MANY, before anything is changed. */
export function takable(instance: Instance): Takable {
  refuseVolumes(instance)
  refuseShares(instance)
  refuseFurther(instance.info.disks)
  refuseTpm(instance)
  const machine = snapshotterOf(instance)
  const { lineage } = instance
  if (!lineage) throw conflict(instance, "has no image on record")
  refuseDeep(lineage)
  return { machine, lineage }
}

/** What was taken of an instant, and the machine's lineage since. */
export interface Taken {
  readonly parts: SnapshotParts
  readonly lineage: Lineage
}

/**
 * Takes an instant of the machine into `sink`. The guest writes to a new overlay from here on, whatever becomes of what
 * was taken: the instance's lineage and record say so. `held`: it is paused for it, and stays so.
 */
export async function takeInstant(
  instance: Instance,
  { machine, lineage }: Takable,
  sink: InstantSink,
  call: Call & { readonly held: boolean },
): Promise<Taken> {
  const parts = await takeParts(instance, machine, sink, call)
  const { disk } = parts
  if (disk) instance.lineage = frozen(lineage, disk.frozen, disk.overlay)
  await instance.change({})
  return { parts, lineage: instance.lineage ?? lineage }
}

/** How often it is tried, and how long a guest runs in between, in ms. */
const MOST_ATTEMPTS = 10
const RUN_ON_MS = 5

/**
 * Some instants are none to go on from, for less than a millisecond (OVMS-SNP-136): a guest that runs has left it at
 * the next attempt.
 */
async function takeParts(
  instance: Instance,
  machine: Machine & Snapshotter,
  sink: InstantSink,
  { held, ...call }: Call & { readonly held: boolean },
): Promise<SnapshotParts> {
  for (let attempt = 1; ; attempt++) {
    const runs = instance.state === "running"
    if (held) await hold(instance, machine)
    try {
      return await machine.snapshot(sink, call)
    } catch (thrown) {
      if (!(held || runs) || attempt === MOST_ATTEMPTS || !isOfInstant(thrown)) throw thrown
      if (held) await machine.resume()
      await sleep(RUN_ON_MS)
    }
  }
}

function isOfInstant(thrown: unknown): boolean {
  const { requirement } = ((thrown as OvmError).detail ?? {}) as { readonly requirement?: string }
  return requirement === "OVMS-SNP-136"
}

/**
 * `old` is written no more: it belongs to what was written since the base. So does what the record still takes for the
 * file that is written to, if it is another one: of a snapshot that was through when nobody could write that down any
 * more.
 */
export function frozen(lineage: Lineage, old: string, top: string): Lineage {
  const unnoted = lineage.top !== undefined && lineage.top !== old ? [lineage.top] : []
  return { ...lineage, overlays: [...lineage.overlays, ...unnoted, old], top }
}

const GIVEN_UP: readonly unknown[] = [
  "OVM_INTERRUPTED",
  "OVM_VMM_FAILED",
  "OVM_STATE_CONFLICT",
  "OVM_AGENT_UNAVAILABLE",
  "OVM_GUEST_NOT_READY",
]

/** A stop wins, and is why `what` failed, in whatever way it did (OVMS-API-145). */
export function givenUp(instance: Instance, thrown: unknown, what: string): unknown {
  const { state } = instance
  const ending = state === "stopping" || state === "stopped"
  if (!ending || !(thrown instanceof OvmError && GIVEN_UP.includes(thrown.code))) return thrown
  return conflict(instance, `was stopped while ${what}: there is none`, thrown)
}

/** One more snapshot could not be written down. */
function refuseDeep({ overlays, top }: Lineage): void {
  if (top === undefined || overlays.length < MOST_OVERLAYS) return
  throw new OvmError(
    "OVM_TOO_MANY",
    `the machine's disk has ${overlays.length} overlays since its image, and a snapshot has ${MOST_OVERLAYS} at most: each snapshot and fork that was taken of it, stored or not, has added one`,
    { hint: "start another machine from its image or an earlier snapshot" },
  )
}

/** What is in a folder of the host is of no instant that a snapshot could have (OVMS-SHR-022). */
function refuseShares({ request }: Instance): void {
  const [share] = request?.overrides?.shares ?? []
  if (!share) return
  const what = `${share.source} at ${share.target ?? share.name}`
  throw new OvmError("OVM_UNSUPPORTED", `the machine has the share ${what}, which no snapshot would have`, {
    detail: [{ pointer: "shares", reason: "shares are not snapshotted" }],
    hint: "start a machine without it, and bring files in and out by ovm cp",
  })
}

/** What a volume holds is of no instant that a snapshot could have (OVMS-VOL-008). */
function refuseVolumes({ request }: Instance): void {
  const [volume] = request?.overrides?.volumes ?? []
  if (!volume) return
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `the machine has the volume ${volume.name}, which no snapshot would have`,
    {
      detail: [{ pointer: "volumes", reason: "volumes are not snapshotted" }],
    },
  )
}

function snapshotterOf(instance: Instance): Machine & Snapshotter {
  const { machine, state } = instance
  instance.assertUsable()
  if (state !== "running" && state !== "paused") throw conflict(instance, `is ${state}`)
  if (instance.snapshotting) throw conflict(instance, "is being snapshotted already")
  if (machine?.snapshot && machine.overlay) return machine as Machine & Snapshotter
  throw new OvmError("OVM_UNSUPPORTED", `${instance.info.vmm?.name ?? "this VMM"} takes no snapshots`, {
    detail: [{ pointer: "snapshot", reason: "the VMM's adapter takes no snapshots" }],
  })
}

export function conflict(instance: Instance, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_STATE_CONFLICT", `instance ${instance.id} ${reason}`, {
    detail: { state: instance.state },
    cause,
  })
}
