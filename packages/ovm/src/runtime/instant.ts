import { setTimeout as sleep } from "node:timers/promises"
import { MOST_OVERLAYS } from "../artifact/snapshot/limits.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { Machine } from "../vmm/machine.ts"
import { endsWithin } from "../vmm/process/ends-within.ts"
import type { Frozen, InstantSink, SnapshotCall, SnapshotParts, Snapshotter } from "../vmm/snapshot.ts"
import { conflict } from "./conflict.ts"
import { furtherWritable } from "./disks.ts"
import { frozen } from "./frozen.ts"
import type { Instance } from "./instance.ts"
import { type Lineage, syncRecord } from "./record.ts"
import { hold } from "./scratch.ts"
import { hasEnded, isUp } from "./states.ts"
import { refuseTpm } from "./tpm.ts"
import { turned, turnedBack, turning } from "./turning.ts"

/** A machine of which RAM, device state and disk of one instant can be taken. */
export interface Takable {
  readonly machine: Machine & Snapshotter
  readonly lineage: Lineage
}

/** Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED, OVM_TOO_MANY, before anything is changed. */
export function takable(instance: Instance): Takable {
  refuseVolumes(instance)
  refuseShares(instance)
  refuseTpm(instance)
  refuseTroubled(instance)
  const machine = snapshotterOf(instance)
  refuseFurther(instance, machine)
  if (!instance.lineage) throw conflict(instance, "has no image on record")
  const lineage = turnedBack(instance.lineage)
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
  await noteTurning(instance, lineage, sink)
  const onTurned = (disk: Frozen) => noteTurned(instance, disk)
  instance.taking = true
  try {
    const parts = await takeParts(instance, machine, sink, { ...call, onTurned })
    const taken = frozen(instance, lineage, parts)
    instance.lineage = taken
    await instance.change({})
    return { parts, lineage: taken }
  } catch (thrown) {
    if (hasEnded(instance.state) && instance.lineage) {
      instance.lineage = turned(instance.directory, instance.lineage)
      await instance.change({})
    }
    throw thrown
  } finally {
    instance.taking = false
  }
}

/** The snapshot has failed, and the guest goes on with another overlay all the same. */
async function noteTurned(instance: Instance, disk: Frozen): Promise<void> {
  if (!instance.lineage) return
  instance.lineage = frozen(instance, turnedBack(instance.lineage), { disk })
  await instance.change({})
}

/** Writes down what the guest is going to write to, for whoever finds the machine ended. Throws if that cannot be. */
async function noteTurning(instance: Instance, lineage: Lineage, sink: InstantSink): Promise<void> {
  instance.lineage = turning(lineage, sink)
  if (instance.lineage === lineage) return
  try {
    await instance.change({}, { record: "written" })
    if (!instance.transient) await syncRecord(instance.directory)
  } catch (thrown) {
    instance.lineage = lineage
    throw thrown
  }
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
  { held, ...call }: SnapshotCall & { readonly held: boolean },
): Promise<SnapshotParts> {
  for (let attempt = 1; ; attempt++) {
    const runs = instance.state === "running"
    if (held) await hold(instance, machine)
    try {
      return await machine.snapshot(sink, call)
    } catch (thrown) {
      if (await isOfEnded(machine, thrown)) throw ended(instance, thrown)
      if (!(held || runs) || attempt === MOST_ATTEMPTS || !isOfInstant(thrown)) throw thrown
      if (held) await machine.resume()
      await sleep(RUN_ON_MS)
    }
  }
}

/** An adapter knows of an end this long, in ms, before it has read how it came. */
const READ_MS = 1000

/** Of a machine that ends just before it is asked its adapter says only that there is none. */
async function isOfEnded({ exited }: Machine, thrown: unknown): Promise<boolean> {
  return thrown instanceof OvmError && thrown.code === "OVM_STATE_CONFLICT" && endsWithin(exited, READ_MS)
}

function ended({ id }: Instance, cause: unknown): OvmError {
  const reason = `the machine of instance ${id} ended before anything of it was taken`
  return new OvmError("OVM_VMM_FAILED", reason, { cause })
}

function isOfInstant(thrown: unknown): boolean {
  const { requirement } = ((thrown as OvmError).detail ?? {}) as { readonly requirement?: string }
  return requirement === "OVMS-SNP-136"
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

/** What its guest wants to write waits. */
function refuseTroubled(instance: Instance): void {
  const { reason } = instance.info
  if (reason === "disk-full" || reason === "io-error")
    throw conflict(instance, `stands still for its disk (${reason}): ovm resume comes first`)
}

/** One more snapshot could not be written down. */
function refuseDeep({ disks = [], ...first }: Lineage): void {
  const chains = [...(first.top === undefined ? [] : [first]), ...disks]
  const most = Math.max(0, ...chains.map(({ overlays }) => overlays.length))
  if (most < MOST_OVERLAYS) return
  throw new OvmError(
    "OVM_TOO_MANY",
    `the machine's disk has ${most} overlays since its image, and a snapshot has ${MOST_OVERLAYS} at most: each snapshot and fork that was taken of it, stored or not, has added one`,
    { hint: "start another machine from its image or an earlier snapshot" },
  )
}

/** What is written to a disk beside the first would be in no snapshot of this VMM's (OVMS-SNP-163). */
function refuseFurther({ info }: Instance, machine: Machine): void {
  const [further] = furtherWritable(info.disks)
  if (further === undefined || machine.furtherOverlays) return
  throw new OvmError(
    "OVM_UNSUPPORTED",
    `the machine can write to its disk ${further}, which no snapshot of ${info.vmm?.name ?? "this VMM"} would have`,
    { detail: [{ pointer: "disks", reason: `${further} is not read-only` }] },
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
  if (!isUp(state)) throw conflict(instance, `is ${state}`)
  if (instance.snapshotting) throw conflict(instance, "is being snapshotted or committed already")
  if (machine?.snapshot && machine.overlay) return machine as Machine & Snapshotter
  throw new OvmError("OVM_UNSUPPORTED", `${instance.info.vmm?.name ?? "this VMM"} takes no snapshots`, {
    detail: [{ pointer: "snapshot", reason: "the VMM's adapter takes no snapshots" }],
  })
}
