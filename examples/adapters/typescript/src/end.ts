import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { TRACE, WHY } from "./command-line.ts"

/** QEMU's words for why it ends, where the contract has others. */
export const WORDS: Readonly<Record<string, string>> = {
  "host-qmp-quit": "quit",
  "host-signal": "signal",
  "host-qmp-system-reset": "guest-reset",
}
/** ShutdownCause of QEMU (qapi/run-state.json), by its number in the trace. */
const CAUSES = [
  ...["none", "host-error", "host-qmp-quit", "host-qmp-system-reset", "host-signal", "host-ui"],
  ...["guest-shutdown", "guest-reset", "guest-panic"],
]

/** For whoever asks later; on a full disk the trace has to do. */
export function noteWhy(directory: string, why: string): void {
  try {
    writeFileSync(join(directory, WHY), why)
  } catch {}
}

/** Why the QEMU in `directory` ended, whoever watched it, and what its guest handed back. */
export function endOf(directory: string, status: number | undefined): object {
  // isa-debug-exit ends it with (value << 1) | 1.
  if (status !== undefined && status % 2 === 1 && status > 1) return { reason: "result", result: status >> 1 }
  const reason = textOf(join(directory, WHY)) || traced(textOf(join(directory, TRACE)), status)
  return reason ? { reason } : {}
}

function traced(text: string, status: number | undefined): string | undefined {
  const requests = [...text.matchAll(/^qemu_system_shutdown_request reason=(\d+)$/gm)]
  const cause = CAUSES[Number(requests.at(-1)?.[1])]
  if (cause !== undefined) return WORDS[cause] ?? cause
  // With -no-reboot a reset ends it without a request.
  return status === 0 && text.startsWith("load_file") ? "guest-reset" : undefined
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}
