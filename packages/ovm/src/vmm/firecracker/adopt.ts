import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { Machine, MachineRecord } from "../machine.ts"
import { readAttempt } from "../process/attempt.ts"
import { endedMachine } from "../process/ended.ts"
import { isAlive, kill } from "../process/identity.ts"
import { unreachable } from "../process/machine.ts"
import { Api } from "./api.ts"
import { FirecrackerMachine, isRunning } from "./machine.ts"
import { exitOfFirecracker } from "./result.ts"

/** Vmm.adopt of Firecracker. */
export async function adoptFirecracker(record: MachineRecord, { signal }: Call = {}): Promise<Machine> {
  if (!(await isAlive(record))) return endedMachine(record, exitOfFirecracker)
  let api: Api | undefined
  const leave = () => api?.close()
  signal?.addEventListener("abort", leave)
  try {
    api = await Api.dial(record.directory)
    if (!api) throw new OvmError("OVM_VMM_FAILED", "its API takes no connection")
    const running = await isRunning(api)
    signal?.throwIfAborted()
    if (running === undefined) {
      // Whoever launched it died before it had a machine: its configuration will never come.
      await kill(record)
      api.close()
      return endedMachine(record, exitOfFirecracker)
    }
    const machine = new FirecrackerMachine(record, { spawn: 0, load: 0 }, { api, running })
    // Whoever took a snapshot of it died in the middle.
    if (await readAttempt(record.directory)) await machine.bringBack()
    return machine
  } catch (error) {
    leave()
    // It may have ended while we knocked.
    if (!(await isAlive(record))) return endedMachine(record, exitOfFirecracker)
    throw unreachable(record, toOvmError(error))
  } finally {
    signal?.removeEventListener("abort", leave)
  }
}
