import { join } from "node:path"
import { openRegular } from "../../files/regular.ts"
import type { MachineRecord } from "../machine.ts"
import { readStderr, reasonOf } from "../process/exit.ts"
import { WORDS } from "./watch.ts"

// SHUTDOWN, the event, reaches who listens; what QEMU traces stays in a file for whoever comes later. It is a few lines
// for a whole life: the firmware that is read at the start, and a request to end.

/** In the instance's directory. */
export const TRACE_FILE = "trace"
const REQUEST = "qemu_system_shutdown_request"
/** Every start reads firmware: shows that this QEMU writes what it traces, and had where to. */
const STARTED = "load_file"
/** Bytes of either end of the file that are looked at. */
const LIMIT = 4096

/** ShutdownCause (qapi/run-state.json) in the order of its numbers, which are the same since QEMU 4.0. */
const CAUSES = [
  "none",
  "host-error",
  "host-qmp-quit",
  "host-qmp-system-reset",
  "host-signal",
  "host-ui",
  "guest-shutdown",
  "guest-reset",
  "guest-panic",
]

/** A QEMU that does not know one of the events says so on standard error, and starts. */
export const TRACE_ARGUMENTS = [
  "-trace",
  `enable=${REQUEST}`,
  "-trace",
  `enable=${STARTED}`,
  "-D",
  TRACE_FILE,
]

/**
 * Why a QEMU has ended, with exit status `status`, whose SHUTDOWN nobody heard; in the words of Exit.reason. What
 * cannot be found out is "ended" (status 0), "failed" or "lost". Never throws.
 */
export async function tracedReason(
  { directory }: Pick<MachineRecord, "directory">,
  status: number | undefined,
): Promise<string> {
  if (status !== 0) return reasonOf(status)
  const { start, end } = await readEnds(join(directory, TRACE_FILE)).catch(() => ({ start: "", end: "" }))
  const [request] = [...end.matchAll(new RegExp(`^${REQUEST} reason=(\\d+)$`, "gm"))].reverse()
  const cause = request && CAUSES[Number(request[1])]
  if (request) return reasonOf(status, cause && (WORDS[cause] ?? cause))
  const said = (await readStderr(directory).catch(() => undefined)) ?? ""
  if (/terminating on signal \d+/.test(said)) return "signal"
  if (!start.startsWith(STARTED) || said.includes(REQUEST)) return reasonOf(status)
  // With -no-reboot a reset ends QEMU without a request (qemu_system_reset_request in softmmu/runstate.c), as nothing
  // else does but a signal, which is told on standard error.
  return "guest-reset"
}

async function readEnds(path: string): Promise<{ readonly start: string; readonly end: string }> {
  const file = await openRegular(path)
  try {
    const { size } = await file.stat()
    const read = async (position: number) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(LIMIT), 0, LIMIT, position)
      return buffer.toString("latin1", 0, bytesRead)
    }
    return { start: await read(0), end: await read(Math.max(0, size - LIMIT)) }
  } finally {
    await file.close()
  }
}
