import { rm } from "node:fs/promises"
import { join } from "node:path"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { type HostCpu, hostCpu } from "../host.ts"
import type { Images } from "../images/images.ts"
import type { PreparedSnapshot, TakenSnapshot } from "../images/snapshot.ts"
import { parseReference } from "../registry/reference.ts"
import type { SnapshotParts, Snapshotter } from "../vmm/interfaces.ts"
import type { Instance } from "./instance.ts"
import type { SnapshotAnswer, SnapshotRequest } from "./interfaces.ts"
import type { Lineage } from "./record.ts"

export function lineageOf(
  base: Descriptor,
  snapshot: PreparedSnapshot | undefined,
  top: string | undefined,
): Lineage {
  return {
    base,
    overlays: snapshot?.overlays ?? [],
    ...(snapshot && { parent: snapshot.digest }),
    ...(top && { top }),
  }
}

/**
 * POST /snapshot (spec/snapshot.md, spec/runtime-api.md): RAM, device state and disk of one instant become an artifact called
 * `<the base's repository>:<tag>`. The machine goes on. Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED, and what the VMM and the
 * store can throw; then the machine is as it was and the store has no new name.
 */
export async function takeSnapshot(
  instance: Instance,
  images: Images,
  request: SnapshotRequest,
  call: Call,
): Promise<SnapshotAnswer> {
  const began = performance.now()
  const machine = snapshotterOf(instance, request)
  const { lineage } = instance
  if (!lineage) throw conflict(instance, "has no image on record")
  const name = parseReference(instance.info.image.reference).withTag(request.tag).toString()
  instance.snapshotting = true
  const sink = sinkOf(instance, lineage)
  try {
    await images.checkSnapshotName(name, call)
    const parts = await machine.snapshot(sink, call)
    // The guest writes to a new overlay from here on, whether storing succeeds or not: a later snapshot needs this one as well.
    const taken = parts.disk ? frozen(lineage, parts.disk.frozen, parts.disk.overlay) : lineage
    instance.lineage = taken
    await instance.update({})
    const stored = await images.storeSnapshot(takenOf(instance, taken, parts, hostCpu(), request), name, call)
    instance.lineage = {
      ...taken,
      parent: stored.descriptor.digest,
      overlays: stored.overlays.map(({ descriptor }) => descriptor),
    }
    await instance.update({})
    return {
      snapshot_ref: stored.descriptor.digest,
      timings_ms: inHundredths({ ...parts.timings, total: performance.now() - began }),
    }
  } finally {
    instance.snapshotting = false
    await Promise.all([sink.ram, sink.state].map((path) => rm(path, { force: true })))
  }
}

function inHundredths<T extends Record<string, number>>(timings: T): T {
  return Object.fromEntries(
    Object.entries(timings).map(([phase, ms]) => [phase, Math.round(ms * 100) / 100]),
  ) as T
}

/** `old` is written no more: it belongs to what was written since the base. */
function frozen(lineage: Lineage, old: string, top: string): Lineage {
  return { ...lineage, overlays: [...lineage.overlays, old], top }
}

/** What a daemon that died in the middle of a snapshot left of an adopted machine (vmm/interfaces.ts, Snapshotter.overlay). */
export async function settleSnapshot(instance: Instance): Promise<void> {
  const { ram, state } = sinkOf(instance, { overlays: [] })
  await Promise.all([ram, state].map((path) => rm(path, { force: true })))
  const { lineage } = instance
  // One that has ended meanwhile writes to nothing.
  const top = await instance.machine?.overlay?.().catch(() => undefined)
  if (!lineage?.top || !top || top === lineage.top) return
  instance.lineage = frozen(lineage, lineage.top, top)
  await instance.update({})
}

function snapshotterOf(instance: Instance, request: SnapshotRequest): Snapshotter {
  const { machine, state } = instance
  if (state !== "running" && state !== "paused") throw conflict(instance, `is ${state}`)
  if (instance.snapshotting) throw conflict(instance, "is being snapshotted already")
  if (request.scrub_check)
    throw new OvmError("OVM_UNSUPPORTED", "scrub_check: this version does not look for secrets in RAM", {
      detail: [{ pointer: "/scrub_check", reason: "not in this version" }],
    })
  if (machine?.snapshot && machine.overlay)
    return { snapshot: machine.snapshot.bind(machine), overlay: machine.overlay.bind(machine) }
  throw new OvmError("OVM_UNSUPPORTED", `${instance.info.vmm?.name ?? "this VMM"} takes no snapshots`, {
    detail: [{ pointer: "snapshot", reason: "the VMM's adapter takes no snapshots" }],
  })
}

function sinkOf(instance: Instance, { overlays }: Pick<Lineage, "overlays">) {
  const path = (name: string) => join(instance.directory, name)
  return {
    ram: path("snapshot.ram"),
    state: path("snapshot.state"),
    overlay: path(`overlay-${overlays.length + 1}.qcow2`),
  }
}

function takenOf(
  instance: Instance,
  { base, parent, overlays }: Lineage,
  { origin, generationId }: SnapshotParts,
  { architecture: _, kernel: __, ...host }: HostCpu,
  { compression = "zstd" }: SnapshotRequest,
): TakenSnapshot {
  const { format, machineType, cpu, vcpus, memory, devices } = origin.model
  return {
    lease: instance.id,
    created: new Date().toISOString(),
    base,
    repository: parseReference(instance.info.image.reference).name,
    ...(parent && { parent }),
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
    uniqueness: { vmgenid: generationId !== undefined, multiResume: "allow" },
    ramFile: origin.ram,
    stateFile: origin.state,
    compression,
    overlays,
  }
}

function conflict(instance: Instance, reason: string): OvmError {
  return new OvmError("OVM_STATE_CONFLICT", `instance ${instance.id} ${reason}`, {
    detail: { state: instance.state },
  })
}
