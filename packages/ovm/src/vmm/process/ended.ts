import { OvmError } from "../../errors.ts"
import type { Exit, Machine, MachineRecord } from "../machine.ts"
import { exitOf, waitForExit } from "./exit.ts"

/** A machine that has ended while nobody looked; `how` finds out how, where the VMM left a word. */
export function endedMachine(
  record: MachineRecord,
  how: (record: MachineRecord, status: number | undefined) => Promise<Exit> = exitOf,
): Machine {
  const ended = async () => {
    throw new OvmError("OVM_STATE_CONFLICT", `the machine in ${record.directory} has ended`)
  }
  return {
    record,
    timings: { spawn: 0, load: 0 },
    guest: { running: false },
    ended: true,
    onGuest: () => {},
    exited: waitForExit(record.directory, record).then((status) => how(record, status)),
    usage: async () => undefined,
    pause: ended,
    resume: ended,
    snapshot: ended,
    overlay: ended,
    stop: async () => "already",
    detach: () => {},
  }
}
