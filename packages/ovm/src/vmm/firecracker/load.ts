import { statSync } from "node:fs"
import { OvmError, toOvmError } from "../../errors.ts"
import { guardedSync } from "../../files/guarded.ts"
import { refuseFatal } from "../fatal.ts"
import type { Loaded, Loading } from "../loader.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import { makeOverlay } from "../overlays.ts"
import type { ResumePlan } from "../plan.ts"
import { checkDisk, checkRam, fileOf } from "../resume-files.ts"
import type { FirecrackerCapabilities } from "./capabilities.ts"
import { checkLoad } from "./check-resume.ts"
import { placeDrives } from "./drives.ts"
import { generationOf, setGeneration } from "./generation.ts"
import { shareSnapshot } from "./jail/snapshot.ts"
import { FirecrackerMachine } from "./machine.ts"
import { firstBootSizeIn, modelOfFirecracker } from "./model.ts"
import { ownNetwork } from "./network.ts"
import { LONGEST_START_MS, startFirecracker } from "./start.ts"
import type { Wire } from "./wire.ts"
import { inWorkplace } from "./workplace.ts"

/** Bytes: a machine's is some 20 KiB, and Firecracker reads no more (src/vmm/src/snapshot/mod.rs of its sources). */
const MAX_STATE = 10_000_000

/** Loader.load of Firecracker. */
export async function loadFirecracker(
  found: FirecrackerCapabilities,
  plan: ResumePlan,
  call: Loading = {},
): Promise<Loaded> {
  refuseFatal(checkLoad(plan, found.jailer !== undefined))
  const { model, ram: source, state } = plan.origin
  const ram = fileOf(source)
  checkRam(ram.path, model)
  checkState(state)
  await checkDisk(plan)
  const overlay = await makeOverlay(plan)
  return await inWorkplace(found, plan.directory, async (workplace) => {
    const { jail } = workplace
    placeDrives(plan, workplace, firstBootSizeIn(model.devices))
    const files = jail
      ? shareSnapshot({ ram: ram.path, state }, workplace.folder, jail)
      : { ram: ram.path, state }
    const starting = {
      ...{ found, plan, workplace, overlay },
      model: modelOfFirecracker(plan, found, model.devices),
      resumed: true as const,
    }
    return await startFirecracker(starting, call, async ({ record, api, wire, spawn }) => {
      const before = performance.now()
      const from = {
        snapshot_path: files.state,
        mem_backend: { backend_type: "File", backend_path: files.ram },
        resume_vm: false,
        ...ownNetwork(model.devices),
      }
      await api.ask("PUT", "/snapshot/load", from, LONGEST_START_MS)
      const timings = { spawn, load: performance.now() - before }
      const machine = new FirecrackerMachine(renewed(record, plan), timings, { api, running: false })
      if (call.goesOn) await machine.letGo()
      return new FirecrackerLoaded(machine, wire, call.goesOn === true)
    })
  })
}

/** Firecracker has given the guest a generation ID; where one was chosen, the guest sees that in its place. */
function renewed(record: MachineRecord, { generationId: wanted, resources }: ResumePlan): MachineRecord {
  const { pid } = record
  if (wanted !== undefined && setGeneration(pid, resources.memory, wanted))
    return { ...record, generationId: wanted }
  const generationId = generationOf(pid, resources.memory)
  return { ...record, ...(generationId !== undefined && { generationId }) }
}

class FirecrackerLoaded implements Loaded {
  readonly record
  readonly timings
  readonly exited

  constructor(
    private readonly machine: FirecrackerMachine,
    private readonly wire: Wire,
    private readonly runs: boolean,
  ) {
    this.record = machine.record
    this.timings = machine.timings
    this.exited = machine.exited
  }

  async resume({ unlinked = false }: { readonly unlinked?: boolean } = {}): Promise<Machine> {
    const began = performance.now()
    try {
      if (!this.runs) await this.machine.letGo()
      // Its link is down, and what is behind it is held as it is, with nobody there.
      if (unlinked) this.exited.finally(() => this.wire[Symbol.dispose]())
      else await this.#connect()
    } catch (thrown) {
      await this.discard()
      throw toOvmError(thrown)
    }
    this.machine.timings = { ...this.timings, resume: performance.now() - began }
    return this.machine
  }

  /** Nobody waits for it where nothing leads into the guest. */
  async #connect(): Promise<void> {
    const carried = this.wire.connect()
    if (carried) this.machine.follow(carried)
    if (this.wire.ports) await carried
  }

  async discard(): Promise<void> {
    this.wire[Symbol.dispose]()
    await this.machine.stop({ graceMs: 0 })
  }
}

/** Firecracker finds by a checksum what was changed or cut off; what is none of its states it has few words for. */
function checkState(state: string): void {
  const { size } = guardedSync(() => statSync(state))
  if (size === 0 || size > MAX_STATE)
    throw new OvmError("OVM_SIZE_MISMATCH", `${state}: a device state of ${size} bytes cannot be`)
}
