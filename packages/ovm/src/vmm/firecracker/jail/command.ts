import { closeSync, constants, openSync } from "node:fs"
import { join } from "node:path"
import { guardedSync } from "../../../files/guarded.ts"
import { O_CLOEXEC } from "../../../host/libc.ts"
import { shellWord } from "../../../host/shell-word.ts"
import { STDERR_FILE } from "../../process/traces.ts"
import { LOG } from "./place.ts"

/** Bytes that are kept of what is logged, where what it says on standard error is, too. */
const LOG_LIMIT = 64 << 10

/**
 * What a shell in the machine's directory has to do beside running Firecracker in its jail: it carries its log out to
 * the last word, whoever else has been killed, and with the log's end has `beside` end, if there is that. The kernel
 * would not tell a process of root of the end of one of another user's (prctl(2), PR_SET_PDEATHSIG).
 */
export function carryLog(folder: string, beside?: string): string {
  const log = shellWord(`${folder}/${LOG}`)
  const [begin, end] =
    beside === undefined ? ["", ""] : [`${beside} >&2 & STORAGE=$!;`, "; kill $STORAGE; wait"]
  const carry = `{ head -c ${LOG_LIMIT}; cat >/dev/null; } <${log} >>${STDERR_FILE}`
  return `(umask 077; ${begin} exec 2>/dev/null; ${carry}${end}) &`
}

/**
 * Has the log be open for writing until Firecracker, which comes later than its reader, has it open itself. Throws what
 * the system says.
 */
export function openLog(folder: string): Disposable {
  const flags = constants.O_RDWR | constants.O_NONBLOCK | O_CLOEXEC
  const fd = guardedSync(() => openSync(join(folder, LOG), flags))
  return { [Symbol.dispose]: () => closeSync(fd) }
}
