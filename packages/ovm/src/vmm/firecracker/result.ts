import type { Exit, MachineRecord } from "../machine.ts"
import { exitOf, readStderr, reasonOf, wasSignalled } from "../process/exit.ts"
import { removeGroups } from "../process/group-of-vmm.ts"
import { leaveJail } from "./jail/place.ts"
import { storageLetGo } from "./storage.ts"

/** What was asked of it last, so that its end is no wonder. */
export type LastAsked = "power-off" | "quit"

/** What it logs of a guest's triple fault, which it ends with status 1 for. */
const TRIPLE_FAULT = /Unexpected exit reason on vcpu run: Shutdown/
/** What it logs of a processor that could not go on, after which it ends with status 1 or 0. */
const FAULT = /KVM_EXIT_(?:INTERNAL_ERROR|FAIL_ENTRY)|Unexpected exit reason/

/**
 * How a Firecracker ended, with exit status `status`, which alone says little: its log is looked at. It knows of a
 * reset alone: one that follows Ctrl-Alt-Del is the power-off that was asked for. Its disk is nobody's any more then.
 */
export async function exitOfFirecracker(
  record: MachineRecord,
  status: number | undefined,
  asked?: LastAsked,
): Promise<Exit> {
  const { directory, own } = record
  if (own?.shown || own?.storage || own?.jailed) {
    await storageLetGo(directory)
    // Whoever worked beside it was in its groups still when the keeper would have removed them.
    removeGroups(directory)
  }
  const exit = await exitIn(record, status, asked)
  // What of it cannot be removed is tried again before the next life.
  if (own?.jailed) await leaveJail(directory).catch(() => {})
  return exit
}

async function exitIn(
  record: MachineRecord,
  status: number | undefined,
  asked: LastAsked | undefined,
): Promise<Exit> {
  const { directory } = record
  if (status === undefined) return await exitOf(record, status, reasonOf(status))
  if (wasSignalled(directory, status))
    return await exitOf(record, status, asked === "quit" ? "quit" : "signal")
  const log = (await readStderr(directory).catch(() => undefined)) ?? ""
  // That of one that was asked may be seen late, and its end be asked for meanwhile.
  const reset = asked ? "guest-shutdown" : "guest-reset"
  // The guest's doing, and no failure of the VMM.
  if (TRIPLE_FAULT.test(log)) return { status: 0, reason: reset }
  // Above 128 it is its own: a forbidden system call, or a signal that it caught.
  if (FAULT.test(log) || status > 128) return await exitOf(record, status, "internal-error")
  // What else it logs then is of things that its guest tried.
  return status === 0 ? { status, reason: reset } : await exitOf(record, status, "failed")
}
