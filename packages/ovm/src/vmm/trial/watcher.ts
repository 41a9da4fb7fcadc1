import { OvmError } from "../../errors.ts"
import { readConsole } from "../console.ts"
import type { Machine } from "../machine.ts"
import { TICK } from "./guest.ts"

/** How long a guest may take to say something, in ms: some of it is emulated, on a host that is busy. */
const PATIENCE_MS = 30_000
const TICKS = new RegExp(`${TICK}(\\d+)\r\n`, "g")

/** All that a machine has said so far. */
export async function saidBy({ record }: Pick<Machine, "record">): Promise<string> {
  let text = ""
  for await (const bytes of readConsole(record.directory)) text += Buffer.from(bytes).toString("latin1")
  return text
}

/** The numbers that the guest has counted, in order. */
export function ticksIn(text: string): readonly number[] {
  return Array.from(text.matchAll(TICKS), ([, number]) => Number(number))
}

/** What the machine has said once that is `enough`. Throws OVM_VMM_TIMEOUT saying that it was waited for `what`. */
export async function waitToSay(
  machine: Machine,
  what: string,
  enough: (text: string) => boolean,
  signal?: AbortSignal,
): Promise<string> {
  const done = new AbortController()
  const late = setTimeout(() => done.abort(), PATIENCE_MS)
  const given = () => done.abort()
  signal?.addEventListener("abort", given)
  let text = ""
  try {
    const options = { follow: true, ended: machine.exited, signal: done.signal }
    for await (const bytes of readConsole(machine.record.directory, options)) {
      text += Buffer.from(bytes).toString("latin1")
      if (enough(text)) return text
    }
  } finally {
    clearTimeout(late)
    signal?.removeEventListener("abort", given)
  }
  if (signal?.aborted) throw new OvmError("OVM_INTERRUPTED", "the trial was interrupted")
  const why = done.signal.aborted ? `within ${PATIENCE_MS / 1000} s` : "before the machine ended"
  throw new OvmError("OVM_VMM_TIMEOUT", `${what} did not come ${why}; last on the console: ${tail(text)}`)
}

function tail(text: string): string {
  return JSON.stringify(text.slice(-80))
}
