import type { Exit, MachineRecord } from "../machine.ts"
import { exitOf, wasSignalled } from "../process/exit.ts"
import { asJson } from "./options.ts"

/**
 * In a model: the port by which a guest hands back a result (spec/instance-states.md), and ends its machine by that. An
 * ISA device without any state, as PVPANIC is.
 */
export const RESULT_DEVICE = "isa-debug-exit"
/** What a Linux finds it by, too: `/dev/port`. Its neighbours do nothing. */
const PORT = { iobase: 0x501, iosize: 1 }
const NO_RESULT =
  "QEMU ended with status 1 and without a word, as it does where a guest hands back 0 or 128, which are no results: a guest that is done powers off"

/** The part of the command line. */
export function resultArguments(devices: readonly string[]): string[] {
  return devices.includes(RESULT_DEVICE) ? asJson("-device", { driver: RESULT_DEVICE, ...PORT }) : []
}

/**
 * How a QEMU ended, with exit status `status`; `why` finds out the reason if no guest handed back a result. By the
 * port QEMU ends with (VALUE << 1) | 1; it ends with 1 where it fails, too, so that 0 is no result.
 */
export async function exitOfQemu(
  record: MachineRecord,
  status: number | undefined,
  why: () => Promise<string>,
): Promise<Exit> {
  const { directory, model } = record
  const result = status === undefined || status % 2 === 0 ? 0 : status >> 1
  const possible = model?.devices.includes(RESULT_DEVICE) && result > 0
  if (possible && !wasSignalled(directory, status ?? 0)) return { status: result, reason: "result" }
  const exit = await exitOf(record, status, await why())
  // Without a word of its own QEMU has most likely not failed. From version 9.2 on it says that the guest shut down.
  if (!model?.devices.includes(RESULT_DEVICE) || status !== 1 || exit.message !== undefined) return exit
  return { ...exit, reason: "failed", message: NO_RESULT }
}
