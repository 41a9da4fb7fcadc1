import { setTimeout as sleep } from "node:timers/promises"
import { MOST_OVERLAYS } from "../artifact/snapshot/limits.ts"
import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { hostCpu } from "../host/cpu.ts"
import type { Images } from "../images/images.ts"
import type { PreparedSnapshot } from "../images/prepared.ts"
import type { TakenSnapshot } from "../images/snapshot.ts"
import { parseReference } from "../registry/reference.ts"
import { rounded } from "../rounded.ts"
import type { Machine, MachineRecord } from "../vmm/machine.ts"
import type { SnapshotParts, SnapshotSink, Snapshotter } from "../vmm/snapshot.ts"
import { refuseFurther } from "./disks.ts"
import type { Instance } from "./instance.ts"
import type { ScrubReport, SnapshotAnswer, SnapshotRequest } from "./interfaces.ts"
import type { Planned } from "./plan.ts"
import type { Lineage, SnapshotPolicy } from "./record.ts"
import { hold, letGoOn, removeScratch, sinkOf } from "./scratch.ts"
import { refuseSuspended } from "./suspended.ts"

/** The lineage of a machine that is going to be started as planned; with its record, once it has been. */
export function lineageOf(
  { image, snapshot, written }: Planned,
  { overlay }: Pick<MachineRecord, "overlay"> = {},
): Lineage {
  return {
    base: image.base,
    overlays: written ?? snapshot?.overlays ?? [],
    ...(snapshot && {
      parent: snapshot.digest,
      parentRam: snapshot.descriptor.ram.digest,
      policy: policyOf(snapshot.descriptor),
    }),
    ...(overlay !== undefined && { top: overlay }),
  }
}

function policyOf({ uniqueness, ram }: PreparedSnapshot["descriptor"]): SnapshotPolicy {
  const { preload_hint, mlock_required } = ram
  return {
    multi_resume: uniqueness.multiResume,
    ...(preload_hint !== undefined && { preload_hint }),
    ...(mlock_required !== undefined && { mlock_required }),
  }
}

/**
 * POST /snapshot (spec/snapshot.md, spec/runtime-api.md): RAM, device state and disk of one instant become an artifact
 * called `<the base's repository>:<tag>`. The machine goes on. Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED, and what the
 * VMM and the store can throw; OVM_SECRETS_FOUND if that was asked for. Then the machine is as it was and the store has
 * no new name.
 */
export async function takeSnapshot(
  instance: Instance,
  images: Images,
  request: SnapshotRequest,
  { signal }: Call,
): Promise<SnapshotAnswer> {
  const { removed } = instance
  const call = { signal: signal ? AbortSignal.any([signal, removed.signal]) : removed.signal }
  const began = performance.now()
  refuseVolumes(instance)
  refuseShares(instance)
  refuseFurther(instance.info.disks)
  const machine = snapshotterOf(instance)
  const { lineage } = instance
  if (!lineage) throw conflict(instance, "has no image on record")
  refuseDeep(lineage)
  const name = parseReference(instance.info.image.reference).withTag(request.tag).toString()
  const over = Promise.withResolvers<void>()
  instance.snapshotting = over.promise
  const sink = sinkOf(instance, lineage)
  const held = request.stop === true && instance.state === "running"
  let stored: Snapshot | undefined
  let deeper = false
  try {
    await refuseSuspended(instance)
    await images.checkSnapshotName(name, call)
    const parts = await takeParts(instance, machine, sink, { ...call, held })
    // It shares its random state with the snapshot (OVMS-AGT-055).
    if (!request.stop) instance.agent?.renew()
    // The guest writes to a new overlay from here on, whether storing succeeds or not: a later snapshot needs this one
    // as well.
    const taken = parts.disk ? frozen(lineage, parts.disk.frozen, parts.disk.overlay) : lineage
    instance.lineage = taken
    deeper = taken !== lineage
    await instance.update({})
    const scanning = performance.now()
    const scrub =
      request.scrub_check &&
      (await scrubbed(images, { ...parts, ram: sink.ram, mode: request.scrub_check }, call))
    const scanned = performance.now()
    const facts = takenOf(instance, taken, parts, request)
    stored = await images.storeSnapshot({ ...facts, ...(scrub && { scrub }) }, name, call)
    instance.lineage = {
      ...taken,
      parent: stored.descriptor.digest,
      parentRam: stored.snapshot.ram.digest,
      policy: policyOf(stored.snapshot),
      overlays: stored.overlays.map(({ descriptor }) => descriptor),
    }
    await instance.update({})
    return {
      snapshot_ref: stored.descriptor.digest,
      timings_ms: inHundredths({
        ...parts.timings,
        ...(scrub && { scrub: scanned - scanning }),
        total: performance.now() - began,
      }),
      ...(scrub && { scrub }),
    }
  } catch (thrown) {
    if (deeper && !stored) warnOfDepth(instance)
    throw givenUp(instance, thrown)
  } finally {
    await letGoOn(instance, !stored)
    await removeScratch(instance)
    instance.snapshotting = undefined
    over.resolve()
  }
}

/** How often it is tried, and how long a guest runs in between, in ms. */
const MOST_ATTEMPTS = 10
const RUN_ON_MS = 5

/**
 * Some instants are none to go on from, for less than a millisecond (OVMS-SNP-136): a guest that runs has left it at
 * the next attempt. `held`: it is paused for it.
 */
async function takeParts(
  instance: Instance,
  machine: Machine & Snapshotter,
  sink: SnapshotSink,
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

/** Throws OVM_TOO_MANY before anything is changed: one more snapshot could not be written down. */
function refuseDeep({ overlays, top }: Lineage): void {
  if (top === undefined || overlays.length < MOST_OVERLAYS) return
  throw new OvmError(
    "OVM_TOO_MANY",
    `the machine's disk has ${overlays.length} overlays since its image, and a snapshot has ${MOST_OVERLAYS} at most: each snapshot that was taken of it, stored or not, has added one`,
    { hint: "start another machine from its image or an earlier snapshot" },
  )
}

/** The guest writes to the overlay of a snapshot that is nowhere: what it left behind is said (OVMS-SNP-143). */
function warnOfDepth(instance: Instance): void {
  const { overlays = [] } = instance.lineage ?? {}
  const files = overlays.filter((one) => typeof one === "string").length
  const about =
    "overlays of snapshots that could not be stored are part of the machine's disk until it is removed"
  const others = instance.info.warnings.filter((warning) => !warning.endsWith(about))
  instance.note({ warnings: [...others, `${files} ${about}`] })
}

const GIVEN_UP: readonly unknown[] = ["OVM_INTERRUPTED", "OVM_VMM_FAILED", "OVM_STATE_CONFLICT"]

/** A stop wins, and is why the snapshot failed, in whatever way it did (OVMS-API-145). */
function givenUp(instance: Instance, thrown: unknown): unknown {
  const { state } = instance
  const ending = state === "stopping" || state === "stopped"
  if (!ending || !(thrown instanceof OvmError && GIVEN_UP.includes(thrown.code))) return thrown
  return conflict(instance, "was stopped while its snapshot was being taken: there is none", thrown)
}

/**
 * Nothing has left the machine's own directory yet (OVMS-SNP-097). The report tells kinds and places, never what is
 * there.
 */
async function scrubbed(
  images: Images,
  { ram, boot, mode }: Pick<SnapshotParts, "boot"> & { ram: string; mode: "refuse" | "report" },
  call: Call,
): Promise<ScrubReport> {
  const findings = await images.findSecrets(ram, { ...call, ...(boot && { beside: boot.args }) })
  if (findings.length > 0 && mode === "refuse") {
    const list = findings.map(({ kind, count }) => `${count} ${kind}`).join(", ")
    throw new OvmError("OVM_SECRETS_FOUND", `the snapshot holds what looks like secrets: ${list}`, {
      detail: findings,
      hint: "Take the snapshot before they exist, or only have them reported: --scrub-report.",
    })
  }
  return { checked: true, findings }
}

function inHundredths<T extends Record<string, number>>(timings: T): T {
  return Object.fromEntries(Object.entries(timings).map(([phase, ms]) => [phase, rounded(ms)])) as T
}

/**
 * `old` is written no more: it belongs to what was written since the base. So does what the record still takes for the
 * file that is written to, if it is another one: of a snapshot that was through when nobody could write that down any
 * more.
 */
function frozen(lineage: Lineage, old: string, top: string): Lineage {
  const unnoted = lineage.top !== undefined && lineage.top !== old ? [lineage.top] : []
  return { ...lineage, overlays: [...lineage.overlays, ...unnoted, old], top }
}

/**
 * What a daemon that died in the middle of a snapshot left of an adopted machine (vmm/snapshot.ts,
 * Snapshotter.overlay).
 */
export async function settleSnapshot(instance: Instance): Promise<void> {
  await removeScratch(instance)
  const { lineage } = instance
  await letGoOn(instance)
  const top = await instance.machine?.overlay?.().catch(() => undefined)
  if (!lineage?.top || !top || top === lineage.top) return
  instance.lineage = frozen(lineage, lineage.top, top)
  await instance.update({})
}

/** What is in a folder of the host is of no instant that a snapshot could have (OVMS-SHR-022). */
function refuseShares({ request }: Instance): void {
  const [share] = request?.overrides?.shares ?? []
  if (!share) return
  const what = `${share.source} at ${share.target}`
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

function takenOf(
  instance: Instance,
  { base, parent, parentRam, policy, overlays }: Lineage,
  { origin, generationId, boot }: SnapshotParts,
  request: SnapshotRequest,
): TakenSnapshot {
  const { architecture: _, kernel: __, ...host } = hostCpu()
  const { multi_resume = "allow", preload_hint, mlock_required } = { ...policy, ...request }
  const { format, machineType, cpu, vcpus, memory, devices } = origin.model
  return {
    lease: instance.id,
    created: new Date().toISOString(),
    base,
    repository: parseReference(instance.info.image.reference).name,
    ...(parent && { parent }),
    ...(parentRam && { parentRam }),
    vmm: {
      name: origin.vmm,
      version: origin.version,
      format,
      machine: machineType,
      accelerator: origin.accelerator,
      cpuModel: cpu,
    },
    ...(origin.accelerator !== "tcg" && { host }),
    resources: { vcpus, memory },
    devices,
    ...(boot && { boot }),
    uniqueness: {
      vmgenid: generationId !== undefined,
      multiResume: policy?.multi_resume === "deny" ? "deny" : multi_resume,
    },
    hints: {
      ...(preload_hint !== undefined && { preload_hint }),
      ...(mlock_required !== undefined && { mlock_required }),
    },
    ramFile: origin.ram.path,
    stateFile: origin.state,
    compression: request.compression ?? "zstd",
    overlays,
  }
}

function conflict(instance: Instance, reason: string, cause?: unknown): OvmError {
  return new OvmError("OVM_STATE_CONFLICT", `instance ${instance.id} ${reason}`, {
    detail: { state: instance.state },
    cause,
  })
}
