import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { OvmError, toOvmError } from "../../errors.ts"
import type { Exit, Machine, MachineRecord } from "../machine.ts"
import { readAttempt } from "../process/attempt.ts"
import { endedMachine } from "../process/ended.ts"
import { isAlive, kill } from "../process/identity.ts"
import { unreachable } from "../process/machine.ts"
import { letGo, lookAt, lookAtNetwork } from "./go.ts"
import { QemuMachine } from "./machine.ts"
import { macIn } from "./network.ts"
import { connectQmp, QMP_SOCKET, type Qmp } from "./qmp.ts"
import { exitOfQemu } from "./result.ts"
import { setLink } from "./resumed-network.ts"
import { tracedReason } from "./trace.ts"
import { GuestWatch } from "./watch.ts"

/** The monitor answers in about 1 ms; one that another client holds does not answer at all. */
const GREETING_MS = 5000

/** Vmm.adopt of QEMU. */
export async function adoptQemu(record: MachineRecord, { signal }: Call = {}): Promise<Machine> {
  if (!(await isAlive(record))) return endedMachine(record, endedQemu)
  const watch = new GuestWatch()
  let qmp: Qmp | undefined
  const leave = () => qmp?.close()
  signal?.addEventListener("abort", leave)
  try {
    qmp = await connectQmp(record.directory, { timeoutMs: GREETING_MS, onEvent: watch.onEvent })
    if (!qmp) throw new OvmError("OVM_VMM_FAILED", noMonitor(record.directory))
    const status = await lookAt(qmp, watch)
    if (status === "inmigrate") {
      // Its state will never come.
      await kill(record)
      qmp.close()
      return endedMachine(record, endedQemu)
    }
    // Whoever launched it died between the spawn and the start.
    if (status === "prelaunch") await letGo(qmp, watch)
    // Whoever resumed it died before its link was up.
    if (macIn(record.model?.devices ?? []) !== undefined) {
      await setLink(qmp, true)
      await lookAtNetwork(qmp, watch)
    }
    signal?.throwIfAborted()
    const machine = new QemuMachine(record, { spawn: 0, load: 0 }, qmp, watch)
    // Whoever took a snapshot of it died in the middle.
    if (await readAttempt(record.directory)) await machine.bringBack()
    return machine
  } catch (error) {
    // A monitor serves one client at a time: the next attempt is one of its own.
    leave()
    // It may have ended while we knocked.
    if (!(await isAlive(record))) return endedMachine(record, endedQemu)
    throw unreachable(record, toOvmError(error))
  } finally {
    signal?.removeEventListener("abort", leave)
  }
}

async function endedQemu(record: MachineRecord, status: number | undefined): Promise<Exit> {
  return await exitOfQemu(record, status, () => tracedReason(record, status))
}

function noMonitor(directory: string): string {
  const socket = join(directory, QMP_SOCKET)
  return existsSync(socket)
    ? `its monitor ${socket} takes no connection, as while other clients hold it`
    : `its monitor ${socket} is gone`
}
