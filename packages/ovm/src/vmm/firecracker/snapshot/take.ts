import { chmod, open, readFile, stat } from "node:fs/promises"
import type { Call } from "../../../content/interfaces.ts"
import { createOverlay } from "../../../disk/overlay.ts"
import { OvmError, toOvmError } from "../../../errors.ts"
import { bytesOnDisk } from "../../../files/disk-usage.ts"
import { guarded } from "../../../files/guarded.ts"
import type { MachineRecord } from "../../machine.ts"
import type { GuestModel } from "../../plan.ts"
import {
  type Attempt,
  forgetAttempt,
  noteAttempt,
  refuseExisting,
  removeFilesOf,
} from "../../process/attempt.ts"
import { isAlive } from "../../process/identity.ts"
import { workplaceOf } from "../../process/jailed.ts"
import type { Qmp } from "../../qemu/qmp.ts"
import { attachOverlay, overlayNodes, switchTo } from "../../qemu/snapshot/drive.ts"
import type { InstantSink, SnapshotParts } from "../../snapshot.ts"
import type { Api } from "../api.ts"
import { generationIn } from "../generation.ts"
import { lendSnapshot } from "../jail/snapshot.ts"
import { isWritten, monitorOf, shownNode, writtenFile } from "./disk.ts"
import { makeHoles } from "./holes.ts"
import { Laps } from "./laps.ts"

const MiB = 2 ** 20
/** For all of RAM to come to the disk, which Firecracker waits for: so many ms, and one more for each 32 KiB. */
const LEAST_CREATE_MS = 20_000
const CREATE_RATE = 32 << 10

export interface FirecrackerSource {
  readonly record: MachineRecord
  readonly api: Api
  readonly running: boolean
  /** The guest, which stands still, loses all streams to its agent: Firecracker ends them with each snapshot. */
  cut(): void
  /** Has the guest stand still, or go on. */
  become(state: "Paused" | "Resumed"): Promise<void>
  /** Brings the machine back to where it was before, unless it is through: true then. */
  takeBack(attempt: Attempt): Promise<boolean>
}

/** The disk that the guest writes to. */
interface Written {
  readonly qmp: Qmp
  readonly top: string
  readonly path: string
}

/** Snapshotter.snapshot of Firecracker (docs/design/0078-firecracker-snapshots.md). */
export async function snapshotFirecracker(
  source: FirecrackerSource,
  into: InstantSink,
  { signal }: Call = {},
): Promise<SnapshotParts> {
  const { record, running } = source
  const { directory, model } = record
  const laps = new Laps()
  let attempt: Attempt | undefined
  let disk: Written | undefined
  let turned = false
  try {
    if (!model)
      throw new OvmError("OVM_UNSUPPORTED", "the machine was started by a version that took no snapshots", {
        hint: "stop it and start it again",
      })
    disk = isWritten(record) && !into.last ? await writtenDisk(directory) : undefined
    if (disk && into.overlay === undefined)
      throw new OvmError("OVM_INTERNAL", "a snapshot of a machine with a writable disk needs a new overlay")
    const overlay = disk && { path: into.overlay ?? "", nodes: overlayNodes(disk.top) }
    for (const path of [into.ram, into.state, overlay?.path]) await refuseExisting(path)
    attempt = { directory, files: [into.ram, into.state], ...(overlay && { overlay }), running }
    await noteAttempt(attempt)
    if (disk && overlay) {
      await createOverlay(overlay.path, record.own?.diskSize as number)
      await attachOverlay(disk.qmp, overlay.nodes, overlay.path, record.own?.ephemeral === true)
    }
    for (const path of attempt.files) await makeEmpty(path)
    refuseAborted(signal)
    laps.lap("prepare")
    if (running) await source.become("Paused")
    source.cut()
    await create(source, into, model)
    laps.lap("state")
    refuseAborted(signal)
    if (disk && overlay) {
      await switchTo(disk.qmp, overlay.nodes)
      turned = true
    }
    laps.lap("disk")
    // It is through: what comes now goes on, whoever gives it up.
    if (running) await source.become("Resumed")
    if (disk) await chmod(disk.path, 0o444)
    await forgetAttempt(directory)
  } catch (thrown) {
    // A monitor serves one client at a time.
    disk?.qmp.close()
    const refused = await undo(source, attempt, thrown, turned)
    if (refused) throw refused
  } finally {
    disk?.qmp.close()
  }
  return await partsOf(source, { into, laps, frozen: disk?.path })
}

interface Taken {
  readonly into: InstantSink
  readonly laps: Laps
  /** What the guest wrote to until then. */
  readonly frozen: string | undefined
}

async function partsOf(
  { record, running }: FirecrackerSource,
  { into, laps, frozen }: Taken,
): Promise<SnapshotParts> {
  const { vmm, version, accelerator, model, own } = record
  if (!model) throw new OvmError("OVM_INTERNAL", "a machine without a model was snapshotted")
  // What could not be looked through is as it was written.
  const ramData = await makeHoles(into.ram).catch(() => bytesOnDisk(into.ram))
  const stateSize = await bytesOf(into.state)
  laps.lap("finish")
  const generationId = generationIn(into.ram) ?? record.generationId
  const diskSize = own?.diskSize as number | undefined
  return {
    origin: {
      ...{ vmm, version, accelerator, model },
      ...(diskSize !== undefined && { diskSize }),
      ...{ ram: { path: into.ram }, state: into.state },
    },
    ...{ ramData, stateSize },
    ...(frozen !== undefined && { disk: { frozen, overlay: into.overlay ?? "" } }),
    ...(generationId !== undefined && { generationId }),
    hostKernel: true,
    running,
    timings: laps.timings(running),
  }
}

async function bytesOf(path: string): Promise<number> {
  return await guarded(async () => (await stat(path)).size)
}

async function writtenDisk(directory: string): Promise<Written> {
  const qmp = await monitorOf(directory)
  try {
    const top = await shownNode(qmp)
    return { qmp, top, path: await writtenFile(qmp, top, directory) }
  } catch (thrown) {
    qmp.close()
    throw thrown
  }
}

/** Firecracker's own words for what it cannot open say little. */
async function makeEmpty(path: string): Promise<void> {
  await guarded(async () => (await open(path, "wx", 0o600)).close())
}

/**
 * RAM and device state, the guest standing still. Of one that booted here only the pages that it has touched are
 * written, which Firecracker knows while none is swapped out; what was loaded from a file is written whole.
 */
async function create(
  { record, api }: FirecrackerSource,
  { ram, state }: InstantSink,
  { memory }: GuestModel,
): Promise<void> {
  const touched = record.own?.resumed !== true && !(await isSwapping())
  const jail = record.own?.jailed === true ? workplaceOf(record.directory) : undefined
  const lent = jail === undefined ? undefined : lendSnapshot({ ram, state }, jail)
  const files = lent?.names ?? { ram, state }
  const snapshot_type = touched ? "Diff" : "Full"
  const body = { snapshot_type, snapshot_path: files.state, mem_file_path: files.ram }
  try {
    await api.ask("PUT", "/snapshot/create", body, LEAST_CREATE_MS + memory / CREATE_RATE)
    await lent?.takeHome()
  } catch (thrown) {
    const error = toOvmError(thrown)
    // ENOSPC, in the words of Rust's library.
    if (!error.message.includes("os error 28")) throw error
    throw new OvmError("OVM_NO_SPACE", `no room for ${memory / MiB} MiB of RAM: ${error.message}`, {
      cause: error,
    })
  } finally {
    lent?.end()
  }
}

async function isSwapping(): Promise<boolean> {
  const text = await readFile("/proc/swaps", "utf8").catch(() => "\n?")
  return text.trim().split("\n").length > 1
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "it was interrupted")
}

/** What is to be thrown for `thrown`, once the machine is as it was before; undefined if the snapshot is through. */
async function undo(
  { record, takeBack }: FirecrackerSource,
  attempt: Attempt | undefined,
  thrown: unknown,
  turned: boolean,
): Promise<OvmError | undefined> {
  const cause = toOvmError(thrown)
  const { detail, hint } = cause
  const said = (more = "") =>
    new OvmError(cause.code, `the snapshot failed: ${cause.message}${more}`, {
      cause,
      ...(detail === undefined ? {} : { detail }),
      ...(hint === undefined ? {} : { hint }),
    })
  if (!attempt) return said()
  try {
    return (await takeBack(attempt)) ? undefined : said()
  } catch (failure) {
    // All of it is whole, and the guest may write to the new overlay already. Whoever has the machine has it go on.
    if (turned) return undefined
    await removeFilesOf(attempt)
    if (!(await isAlive(record))) return said()
    return said(`; and the machine is not back yet, which is tried again: ${toOvmError(failure).message}`)
  }
}
