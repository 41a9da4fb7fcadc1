import { readFile } from "node:fs/promises"
import type { Socket } from "node:net"
import { OvmError, toOvmError } from "../../errors.ts"
import { checkKernel } from "../../kernel.ts"
import type { MachineLink } from "../../network/machine-link.ts"
import { refuseFatal } from "../fatal.ts"
import type { Loaded, Loading } from "../loader.ts"
import type { Machine } from "../machine.ts"
import { makeFurther, makeOverlay } from "../overlays.ts"
import type { ResumePlan, SnapshotOrigin } from "../plan.ts"
import { connectIn } from "../process/socket.ts"
import { checkDisk, checkRam, fileOf } from "../resume-files.ts"
import type { QemuCapabilities } from "./capabilities.ts"
import { checkResume } from "./check-resume.ts"
import { makeVariables } from "./flashes.ts"
import { letGo } from "./go.ts"
import { QemuMachine } from "./machine.ts"
import { IGNORE_SHARED, MAX_STATE } from "./migration/format.ts"
import { judgedState } from "./migration/judged.ts"
import { waitForMigration } from "./migration/progress.ts"
import { macIn, withNetwork } from "./network.ts"
import type { Qmp } from "./qmp.ts"
import { type ResumedNetwork, resumedNetwork, setLink } from "./resumed-network.ts"
import { START_MS, type Started, startQemu } from "./start.ts"
import type { GuestWatch } from "./watch.ts"

/** In the instance's directory, where QEMU runs. */
const LOAD_SOCKET = "load.sock"
const LOAD_MS = 30_000

/** Loader.load of QEMU. */
export async function loadQemu(
  found: QemuCapabilities,
  plan: ResumePlan,
  call: Loading = {},
): Promise<Loaded> {
  refuseFatal(checkResume(plan, found))
  const { origin } = plan
  const ram = fileOf(origin.ram)
  checkRam(ram.path, origin.model)
  await checkDisk(plan)
  if (plan.kernel) await checkKernel(plan.kernel.path, { uefi: Boolean(plan.uefi) })
  const generationId = plan.generationId ?? crypto.randomUUID()
  const { accelerator } = origin
  const model = withNetwork(origin.model, plan)
  // Read and checked while QEMU starts.
  const state = readState(origin)
  state.catch(() => {})
  const overlay = await makeOverlay(plan)
  await makeFurther(plan)
  const flashes = await makeVariables(plan)
  const options = {
    ...{ accelerator, model, generationId, ram: ram.path, lockMemory: plan.lockMemory ?? false },
    ...(overlay !== undefined && { overlay }),
    ...(flashes && { flashes }),
  }
  const resumed = resumedNetwork(plan, model)
  return await startQemu({ found, plan, options }, call, async (started) => {
    let runs = false
    const unsubscribe = started.qmp.subscribe(({ event }) => {
      runs ||= event === "RESUME"
    })
    // A guest with a network has its link taken down before it goes on.
    const interfaced = macIn(model.devices) !== undefined
    await loadState(started, await state, interfaced ? { ...call, goesOn: false } : call)
    unsubscribe()
    if (interfaced) await setLink(started.qmp, false)
    return new QemuLoaded(started, await started.timings(), runs, resumed)
  })
}

/** QEMU listens, we connect once it does, and write. */
async function loadState(
  { qmp, record }: Started,
  bytes: Uint8Array,
  { signal, goesOn }: Loading,
): Promise<void> {
  // One after the other: the monitor keeps the order, and need not wait for us in between.
  await Promise.all([
    qmp.execute(
      "migrate-set-capabilities",
      { capabilities: [IGNORE_SHARED, "events"].map((capability) => ({ capability, state: true })) },
      START_MS,
    ),
    qmp.execute("migrate-incoming", { uri: `unix:${LOAD_SOCKET}` }, START_MS),
    // Of a guest that is still to come it means that it need not wait for another one.
    ...(goesOn ? [qmp.execute("cont", undefined, START_MS)] : []),
  ])
  const socket = await connectIn(record.directory, LOAD_SOCKET)
  if (!socket) throw new OvmError("OVM_VMM_FAILED", "QEMU does not listen for the snapshot's state")
  try {
    const sent = send(socket, bytes)
    await waitForMigration(qmp, ["completed"], {
      timeoutMs: LOAD_MS,
      unless: sent,
      begun: true,
      ...(signal && { signal }),
    })
  } finally {
    socket.destroy()
  }
}

/** QEMU that refuses a state ends, and its monitor's end is the better reason. */
async function send(socket: Socket, bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    socket.on("error", () => resolve())
    socket.end(bytes, () => resolve())
  })
}

class QemuLoaded implements Loaded {
  readonly record
  readonly exited
  readonly #machine: QemuMachine
  readonly #qmp: Qmp
  readonly #watch: GuestWatch
  readonly #link: MachineLink | undefined

  constructor(
    { record, qmp, watch, link }: Started,
    readonly timings: Machine["timings"],
    private readonly runs: boolean,
    private readonly network: ResumedNetwork | undefined,
  ) {
    this.#link = link
    this.#qmp = qmp
    this.#watch = watch
    this.#machine = new QemuMachine(record, this.timings, qmp, watch)
    this.record = record
    this.exited = this.#machine.exited
  }

  async resume({ unlinked = false }: { readonly unlinked?: boolean } = {}): Promise<Machine> {
    const began = performance.now()
    try {
      if (!this.runs) await letGo(this.#qmp, this.#watch)
      // Its link was taken down before it was loaded, and what is behind it is held as it is, with nobody there.
      if (unlinked) this.exited.finally(() => this.#link?.[Symbol.dispose]())
      else await this.#connect()
    } catch (thrown) {
      await this.discard()
      throw toOvmError(thrown)
    }
    this.#machine.timings = { ...this.timings, resume: performance.now() - began }
    return this.#machine
  }

  /** Nobody waits for it where nothing leads into the guest: a link that stays down is what it sees then. */
  async #connect(): Promise<void> {
    const carried = this.network?.connect(this.#qmp, this.#link)
    carried?.catch(() => {})
    this.#machine.carried = carried
    if (this.network?.ports) await carried
  }

  async discard(): Promise<void> {
    this.#link?.[Symbol.dispose]()
    await this.#machine.stop({ graceMs: 0 })
  }
}

/** Damage that QEMU would not notice: a stream that does not fit the machine, or is cut off, or goes on. */
async function readState({ state, model }: SnapshotOrigin): Promise<Uint8Array> {
  const bytes = await readFile(state).catch((thrown: unknown) => {
    throw toOvmError(thrown)
  })
  if (bytes.length === 0 || bytes.length > MAX_STATE)
    throw new OvmError("OVM_SIZE_MISMATCH", `${state}: a device state of ${bytes.length} bytes cannot be`)
  try {
    const { machineType } = judgedState(bytes, model.memory).configuration
    if (machineType === model.machineType) return bytes
    throw new OvmError("OVM_VMM_FAILED", `it is of a ${machineType}, not of a ${model.machineType}`)
  } catch (thrown) {
    const cause = toOvmError(thrown)
    throw new OvmError(cause.code, `${state}: ${cause.message}`, { cause })
  }
}
