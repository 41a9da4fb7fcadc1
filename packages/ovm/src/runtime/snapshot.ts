import type { Snapshot } from "../artifact/snapshot/read.ts"
import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { hostCpu } from "../host/cpu.ts"
import type { Images } from "../images/images.ts"
import type { PreparedSnapshot } from "../images/prepared.ts"
import type { TakenSnapshot } from "../images/snapshot.ts"
import { parseReference } from "../registry/reference.ts"
import { rounded } from "../rounded.ts"
import type { MachineRecord } from "../vmm/machine.ts"
import type { SnapshotParts } from "../vmm/snapshot.ts"
import { furtherWritable } from "./disks.ts"
import { frozen, unnoted } from "./frozen.ts"
import type { Instance } from "./instance.ts"
import { givenUp, takable, takeInstant } from "./instant.ts"
import type { ScrubReport, SnapshotAnswer, SnapshotRequest } from "./interfaces.ts"
import type { Planned } from "./plan.ts"
import { whileReady } from "./ready-guest.ts"
import type { Lineage, SnapshotPolicy, WrittenDisk } from "./record.ts"
import { letGoOn, removeScratch, sinkOf } from "./scratch.ts"
import { refuseSuspended } from "./suspended.ts"
import { turnedBack } from "./turning.ts"

/** The lineage of a machine that is going to be started as planned; with its record, once it has been. */
export function lineageOf(
  { image, snapshot, written, alive }: Planned,
  { overlay }: Pick<MachineRecord, "overlay"> = {},
): Lineage {
  return {
    base: image.base,
    ...(image.index && { index: image.index }),
    ...(written ?? writtenIn(snapshot)),
    ...(snapshot && {
      parent: snapshot.digest,
      parentRam: snapshot.descriptor.ram.digest,
      policy: policyOf(snapshot.descriptor),
    }),
    ...alive,
    ...(overlay !== undefined && { top: overlay }),
  }
}

function writtenIn(snapshot: PreparedSnapshot | undefined): Pick<Lineage, "overlays" | "disks"> {
  const { overlays = [], disks = [] } = snapshot ?? {}
  const further = disks.map(({ name, overlays }) => ({ name, overlays }))
  return { overlays, ...(further.length > 0 && { disks: further }) }
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
 * called `<the base's repository>:<tag>`. The machine goes on. Throws OVM_STATE_CONFLICT, OVM_UNSUPPORTED,
 * OVM_GUEST_NOT_READY, OVM_AGENT_UNAVAILABLE, and what the VMM and the store can throw; OVM_SECRETS_FOUND if that was
 * asked for. Then the machine is as it was and the store has no new name.
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
  const source = takable(instance)
  const { lineage } = source
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
    const take = async () => {
      const instant = await takeInstant(instance, source, sink, { ...call, held })
      // It shares its random state with the snapshot (OVMS-AGT-055).
      if (!request.stop) instance.agent?.renew()
      return instant
    }
    // Whether storing succeeds or not, a later snapshot needs what was written until now as well.
    const { taken: instant, fault } = await whileReady(instance, request, take, call)
    const { parts, lineage: taken } = instant
    deeper = taken !== lineage
    if (fault) throw fault
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
      ...storedIn(stored, taken),
    }
    await instance.change({})
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
    throw givenUp(instance, thrown, "its snapshot was being taken")
  } finally {
    await letGoOn(instance, !stored)
    await removeScratch(instance)
    instance.snapshotting = undefined
    over.resolve()
  }
}

/** What was files until now is content of the store. */
function storedIn({ overlays, disks }: Snapshot, taken: Lineage): Pick<Lineage, "overlays" | "disks"> {
  const descriptors = (chain: Snapshot["overlays"]) => chain.map(({ descriptor }) => descriptor)
  const chains = new Map(disks.map(({ name, overlays }) => [name, descriptors(overlays)]))
  return {
    overlays: descriptors(overlays),
    ...(taken.disks && {
      disks: taken.disks.map((disk) => ({ ...disk, overlays: chains.get(disk.name) ?? disk.overlays })),
    }),
  }
}

/** The guest writes to the overlay of a snapshot that is nowhere: what it left behind is said (OVMS-SNP-143). */
function warnOfDepth(instance: Instance): void {
  const { overlays = [], disks = [] } = instance.lineage ?? {}
  const all = [overlays, ...disks.map((disk) => disk.overlays)].flat()
  const files = all.filter((one) => typeof one === "string").length
  const about =
    "overlays of snapshots that could not be stored are part of the machine's disk until it is removed"
  const others = instance.info.warnings.filter((warning) => !warning.endsWith(about))
  instance.note({ warnings: [...others, `${files} ${about}`] })
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
 * What a daemon that died in the middle of a snapshot left of an adopted machine (vmm/snapshot.ts,
 * Snapshotter.overlay).
 */
export async function settleSnapshot(instance: Instance): Promise<void> {
  await removeScratch(instance)
  const lineage = instance.lineage && turnedBack(instance.lineage)
  await letGoOn(instance)
  const found = await unnoted(instance).catch(() => undefined)
  // Not back yet from one that failed: what it writes to in the end, its files tell.
  const now = lineage && found && frozen(instance, lineage, found)
  if (!now || now === instance.lineage) return
  instance.lineage = now
  await instance.change({})
}

function takenOf(
  instance: Instance,
  { base, parent, parentRam, policy, overlays, disks = [] }: Lineage,
  { origin, generationId, boot, hostKernel }: SnapshotParts,
  request: SnapshotRequest,
): TakenSnapshot {
  const { architecture: _, kernel, ...cpu } = hostCpu()
  const host = { ...cpu, ...(hostKernel && { kernel }) }
  const { multi_resume = "allow", preload_hint, mlock_required } = { ...policy, ...request }
  const { format, machineType, cpu: cpuModel, vcpus, memory, devices } = origin.model
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
      cpuModel,
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
    ...(disks.length > 0 && { disks: inOrder(instance, disks) }),
  }
}

/** Disks in the order of the base (OVMS-SNP-177). */
function inOrder({ info }: Instance, disks: readonly WrittenDisk[]): readonly WrittenDisk[] {
  return furtherWritable(info.disks).flatMap((name) => disks.find((disk) => disk.name === name) ?? [])
}
