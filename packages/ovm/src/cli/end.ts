import { type ErrorCode, OvmError } from "../errors.ts"
import type { InstanceInfo } from "../runtime/interfaces.ts"
import { endWith } from "./failure.ts"

const WORDS: Readonly<Record<string, string>> = {
  "guest-shutdown": "powered off",
  "guest-reset": "reset itself, which ends it",
  "guest-panic": "panicked, and was ended",
  quit: "was ended",
  signal: "was killed",
  cancelled: "was stopped before it ran",
}

/** What the host lacks is nothing that a guest's console tells of. */
const HOSTS: readonly ErrorCode[] = ["OVM_NO_SPACE", "OVM_HOST_FAILED"]

/** How a machine has ended, in one word, and what its guest handed back; undefined if it has not. */
export function endWord({ exit }: Pick<InstanceInfo, "exit"> = {}): string | undefined {
  return exit?.reason === "result" ? `result ${exit.status}` : exit?.reason
}

/** What became of a machine that has ended, as the end of a sentence. */
export function endOf({ exit, state }: InstanceInfo): string {
  if (exit?.reason === "result") return `ended with the result ${exit.status}`
  return WORDS[exit?.reason ?? ""] ?? `has ${state}${exit ? ` (${exit.reason})` : ""}`
}

/** The error of an instance that has failed, as if it had been thrown here. */
export function failureOf(info: InstanceInfo): OvmError {
  const { code, message, detail } = info.error ?? {
    code: "OVM_VMM_FAILED" as const,
    message: `instance ${info.name} failed${info.exit ? `: ${info.exit.reason}` : ""}`,
  }
  return new OvmError(code, message, { detail, ...(HOSTS.includes(code) ? {} : consoleOf(info)) })
}

/**
 * Throws what an instance that has ended failed with; OVM_GUEST_RESET if its guest reset and nobody had asked for its
 * end, as `asked` says of whoever waits. What its guest handed back is the exit status (OVMS-STA-048), whoever had
 * asked for its end.
 */
export function refuseBadEnd(info: InstanceInfo, { asked = false } = {}): void {
  if (info.state === "failed") throw failureOf(info)
  if (info.exit?.reason === "result") endWith(info.exit.status ?? 0)
  if (info.exit?.reason !== "guest-reset" || info.stop_method !== undefined || asked) return
  const { started, finished } = info
  const after =
    started && finished ? ` ${(Date.parse(finished) - Date.parse(started)) / 1000} s after it was let go` : ""
  throw new OvmError(
    "OVM_GUEST_RESET",
    `the guest of ${info.name} reset its machine${after}: a machine that resets ends, ` +
      "whether it rebooted or its kernel died",
    consoleOf(info),
  )
}

/** Where to look further; of one that is removed there is nothing to look at. */
function consoleOf({ instance_id, auto_remove }: InstanceInfo): { readonly hint?: string } {
  return auto_remove ? {} : { hint: `ovm logs ${instance_id}` }
}
