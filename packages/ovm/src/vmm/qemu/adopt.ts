import { OvmError } from "../../errors.ts"
import type { Machine, MachineRecord } from "../interfaces.ts"
import { isAlive, kill } from "../process/identity.ts"
import { letGo, lookAt } from "./go.ts"
import { endedMachine, QemuMachine } from "./machine.ts"
import { connectQmp } from "./qmp.ts"
import { readAttempt, takeBack } from "./snapshot/attempt.ts"
import { GuestWatch } from "./watch.ts"

/** The monitor answers in about 1 ms; one that another client holds does not answer at all. */
const GREETING_MS = 5000

/** Vmm.adopt of QEMU. Throws OVM_VMM_TIMEOUT if the machine runs but its monitor does not answer, OVM_VMM_FAILED if it is gone. */
export async function adoptQemu(record: MachineRecord): Promise<Machine> {
  if (!(await isAlive(record))) return endedMachine(record)
  const watch = new GuestWatch()
  try {
    const qmp = await connectQmp(record.directory, { timeoutMs: GREETING_MS, onEvent: watch.onEvent })
    if (!qmp)
      throw new OvmError(
        "OVM_VMM_FAILED",
        `QEMU (pid ${record.pid}) runs, but its monitor in ${record.directory} is gone`,
      )
    // Whoever took a snapshot of it died in the middle.
    const attempt = await readAttempt(record.directory)
    if (attempt) await takeBack(qmp, attempt)
    const status = await lookAt(qmp, watch)
    if (status === "inmigrate") {
      // Its state will never come.
      await kill(record)
      qmp.close()
      return endedMachine(record)
    }
    // Whoever launched it died between the spawn and the start.
    if (status === "prelaunch") await letGo(qmp, watch)
    return new QemuMachine(record, { spawn: 0, load: 0 }, qmp, watch)
  } catch (error) {
    // It may have ended while we knocked.
    if (!(await isAlive(record))) return endedMachine(record)
    throw error
  }
}
