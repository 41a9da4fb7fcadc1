import { chmod, writeFile } from "node:fs/promises"
import type { Call } from "../../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../../errors.ts"
import type { MachineRecord } from "../../machine.ts"
import type { GuestModel } from "../../plan.ts"
import {
  type Attempt,
  forgetAttempt,
  noteAttempt,
  overlaysOf,
  refuseExisting,
} from "../../process/attempt.ts"
import { isAlive } from "../../process/identity.ts"
import type { InstantSink, SnapshotParts } from "../../snapshot.ts"
import { IGNORE_SHARED } from "../migration/format.ts"
import { type MigrationWait, migrationPutAway, waitForMigration } from "../migration/progress.ts"
import { listenForStream, type Received, type Receiver, SNAPSHOT_SOCKET } from "../migration/receiver.ts"
import { RAM_ID } from "../model.ts"
import type { Qmp } from "../qmp.ts"
import {
  leavePostmigrate,
  letRun,
  removeFiles,
  runState,
  snapshotError,
  takeBack,
  untriedNote,
} from "./attempt.ts"
import { bootOf, wasRead } from "./boot.ts"
import { Clock } from "./clock.ts"
import { type Copying, copyingOf } from "./copying.ts"
import { type Drive, driveHere, driveOf, switchTo } from "./drive.ts"
import { refuseInstant } from "./instant.ts"
import { frozenOf, makeReady, noted, type Turned, turnedOf } from "./turned.ts"

const STATE_MS = 30_000
const RECEIVE_MS = 30_000
/**
 * For how long the guest may stand still, and the snapshot still succeed, because another process has the new overlay
 * open.
 */
const LOCK_PATIENCE_MS = 1000
/** Bytes a second: as fast as it goes. */
const BANDWIDTH = 1e11

interface Taking {
  readonly record: MachineRecord
  readonly qmp: Qmp
  readonly into: InstantSink
  readonly clock: Clock
}

/** Snapshotter.snapshot of QEMU (docs/design/0014-qemu-snapshots.md). `qmp` is the machine's monitor. */
export async function snapshotQemu(
  record: MachineRecord,
  qmp: Qmp,
  into: InstantSink,
  call: Call = {},
): Promise<SnapshotParts> {
  const clock = new Clock(qmp)
  const taking: Taking = { record, qmp, into, clock }
  let attempt: Attempt | undefined
  let receiver: Receiver | undefined
  try {
    const model = await modelOfSource(record, qmp)
    const boot = await bootOf(qmp)
    const drive = driveHere(record.directory, await driveOf(qmp))
    const turned = into.last ? [] : await turnedOf(record, qmp, into, drive)
    const overlays = turned.map(({ overlay }) => overlay.path)
    for (const path of [into.ram, into.state, ...overlays]) await refuseExisting(path)
    const running = await readyState(qmp)
    attempt = { directory: record.directory, files: [into.ram, into.state], ...noted(turned), running }
    await noteAttempt(attempt)
    await makeReady(qmp, turned)
    receiver = await listenForStream(record.directory, { name: RAM_ID, size: model.memory }, into.ram)
    await migrate({ ...taking, receiver }, attempt, call)
    const received = await receivedIn(receiver)
    if (call.signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "it was interrupted")
    await refuseInstant(received, into.ram, record.generationId)
    // With its socket, as long as the note says whose that is.
    await receiver.close()
    const parts = await complete(taking, { ...attempt, model, drive, turned }, received)
    return { ...parts, ...(boot && !wasRead(boot, received) && { boot: { args: boot.args } }) }
  } catch (thrown) {
    await receiver?.close()
    throw await undo(record, qmp, attempt, thrown)
  } finally {
    await receiver?.close()
    clock.stop()
  }
}

/** From a running guest to a guest that runs on, with its RAM and state on their way to the receiver. */
async function migrate(
  { record, qmp, receiver, clock }: Taking & { readonly receiver: Receiver },
  attempt: Attempt,
  { signal }: Call,
): Promise<void> {
  const wait = { unless: receiver.done, ...(signal && { signal }) }
  const { stopped, steps } = copyingOf(record)
  const capabilities = [IGNORE_SHARED, "pause-before-switchover", "events"]
  await qmp.execute("migrate-set-capabilities", {
    capabilities: capabilities.map((capability) => ({ capability, state: true })),
  })
  await qmp.execute("migrate-set-parameters", {
    "max-bandwidth": BANDWIDTH,
    "downtime-limit": steps[0].downtime,
  })
  await migrationPutAway(qmp)
  clock.lap("prepare")
  if (stopped) await qmp.execute("stop")
  await qmp.execute("migrate", { uri: `unix:${SNAPSHOT_SOCKET}` })
  await copied(qmp, steps, wait)
  clock.lap("copy")
  // The guest stands still, and its disks are not let go yet. The monitor keeps the order: nobody has to wait for the
  // first answer.
  const overlays = overlaysOf(attempt).map(({ nodes }) => nodes)
  const switched = overlays.length > 0 ? switchTo(qmp, ...overlays) : undefined
  const continued = qmp.execute("migrate-continue", { state: "pre-switchover" })
  continued.catch(() => {})
  await switched
  clock.lap("disk")
  await continued
  await waitForMigration(qmp, ["completed"], { ...wait, timeoutMs: STATE_MS })
  clock.lap("state")
  // What is still in the socket is read and checked while the guest runs: if that fails, all is taken back all the
  // same.
  if (attempt.running) await letRun(qmp, LOCK_PATIENCE_MS)
}

/** Waits until no more is left than the guest may stand still for. */
async function copied(
  qmp: Qmp,
  steps: Copying["steps"],
  wait: Omit<MigrationWait, "timeoutMs">,
): Promise<void> {
  for (const [step, { downtime, within }] of steps.entries()) {
    if (step > 0) await qmp.execute("migrate-set-parameters", { "downtime-limit": downtime })
    try {
      await waitForMigration(qmp, ["pre-switchover"], { ...wait, timeoutMs: within })
      return
    } catch (thrown) {
      const late = thrown instanceof OvmError && thrown.code === "OVM_VMM_TIMEOUT"
      if (!late || step === steps.length - 1) throw thrown
    }
  }
}

/** QEMU has sent everything: the rest is in the socket. */
async function receivedIn({ done }: Receiver): Promise<Received> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    const error = new OvmError("OVM_VMM_TIMEOUT", `the stream did not end within ${RECEIVE_MS} ms`)
    timer = setTimeout(() => reject(error), RECEIVE_MS)
  })
  try {
    return await Promise.race([done, late])
  } finally {
    clearTimeout(timer)
  }
}

async function complete(
  { record, into, clock }: Taking,
  attempt: Attempt & {
    readonly model: GuestModel
    readonly drive: Drive | undefined
    readonly turned: readonly Turned[]
  },
  received: Received,
): Promise<SnapshotParts> {
  const { running, model, drive, turned } = attempt
  const { machineType } = received.configuration
  if (machineType !== model.machineType)
    throw new OvmError("OVM_VMM_FAILED", `QEMU's machine is a ${machineType}, not a ${model.machineType}`)
  await writeFile(into.state, received.bytes, { flag: "wx", mode: 0o600 })
  for (const { drive } of turned) await chmod(drive.path, 0o444)
  await forgetAttempt(record.directory)
  clock.lap("finish")
  return {
    origin: {
      vmm: record.vmm,
      version: record.version,
      accelerator: record.accelerator,
      model,
      ...(drive ? { diskSize: drive.size } : {}),
      ram: { path: into.ram },
      state: into.state,
    },
    ramData: received.ramData,
    stateSize: received.bytes.length,
    ...frozenOf(turned),
    ...(record.generationId === undefined ? {} : { generationId: record.generationId }),
    running,
    timings: clock.timings(running),
  }
}

/** What is to be thrown for `thrown`, once the machine is as it was before. */
async function undo(
  record: MachineRecord,
  qmp: Qmp,
  attempt: Attempt | undefined,
  thrown: unknown,
): Promise<OvmError> {
  const note = untriedNote(record.version)
  if (!attempt) return snapshotError(thrown, note)
  try {
    await takeBack(qmp, attempt)
    return snapshotError(thrown, note)
  } catch (failure) {
    // Its files are large, and of no use; what is left to do is the machine's.
    await removeFiles(attempt)
    if (!(await isAlive(record))) return snapshotError(thrown)
    const { message } = toOvmError(failure)
    return snapshotError(thrown, `${note}; and the machine is not back yet, which is tried again: ${message}`)
  }
}

/** Throws OVM_UNSUPPORTED if the machine cannot be snapshotted. */
async function modelOfSource({ model }: MachineRecord, qmp: Qmp): Promise<GuestModel> {
  const backends = (await qmp.execute("query-memdev")) as readonly { readonly id?: string }[]
  if (!model || !backends.some(({ id }) => id === RAM_ID))
    throw new OvmError("OVM_UNSUPPORTED", "the machine was started by a version that took no snapshots", {
      hint: "stop it and start it again",
    })
  // Those for arm64, which have no generation ID either.
  if (!model.devices.includes("vmgenid"))
    throw new OvmError("OVM_UNSUPPORTED", "machines for arm64 are not snapshotted", {
      detail: [{ pointer: "snapshot", reason: "the machine is for arm64" }],
    })
  const shared = model.devices.find((device) => device.startsWith("ivshmem"))
  if (shared !== undefined)
    throw new OvmError("OVM_UNSUPPORTED", `the machine shares memory with others (${shared})`)
  return model
}

/** True if the guest runs, false if it is paused. Throws OVM_STATE_CONFLICT in any other state. */
async function readyState(qmp: Qmp): Promise<boolean> {
  await leavePostmigrate(qmp)
  const state = await runState(qmp)
  if (state !== "running" && state !== "paused" && state !== "prelaunch")
    throw new OvmError("OVM_STATE_CONFLICT", `the machine is neither running nor paused but ${state}`)
  return state === "running"
}
