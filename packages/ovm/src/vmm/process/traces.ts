import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { HELD_FILE } from "./held.ts"

// Files of one life in the instance's directory, most of them the keeper's (docs/design/0034-keeper.md).

export const PID_FILE = "pid"
export const EXIT_FILE = "exit"
export const STDERR_FILE = "stderr"
/** Followed by the segment's offset in the whole stream, in bytes. */
export const CONSOLE_PREFIX = "console."

/** Followed by the segment's offset: when its bytes came. */
export const TIMES_PREFIX = "times."

/** Where one at a time types into the machine. */
export const KEYBOARD_SOCKET = "console.sock"

/** Says which control group bounds its VMM, if one does. */
export const GROUP_FILE = "cgroup"

/** While a snapshot is being taken: what to take back if nobody ends it (attempt.ts). */
export const ATTEMPT_FILE = "snapshot.json"

/** In a machine's folder: the console of its life before, in the same segments. */
export const PREVIOUS = "previous"

/**
 * What an earlier machine in the same folder left must not be taken for this one's: a snapshot that it was in the
 * middle of is none of this one, whose disk may be what that one made. What it said last is kept aside, or where it is
 * where the console `goesOn`.
 */
export function clearTraces(directory: string, goesOn = false): void {
  if (!goesOn) keepAside(directory)
  const traces = new Set([HELD_FILE, PID_FILE, EXIT_FILE, `${EXIT_FILE}.tmp`, STDERR_FILE, ATTEMPT_FILE])
  for (const name of readdirSync(directory))
    if (traces.has(name) || (isOfConsole(name) && !(goesOn && isNumbered(name))))
      rmSync(join(directory, name), { force: true })
}

function isOfConsole(name: string): boolean {
  return name.startsWith(CONSOLE_PREFIX) || name.startsWith(TIMES_PREFIX)
}

function isNumbered(name: string): boolean {
  return /\.\d+$/.test(name)
}

/** Where the last segment of the console begins, in the whole stream. All but the last two are removed. */
export function lastSegment(directory: string): number {
  const starts = readdirSync(directory)
    .filter((name) => name.startsWith(CONSOLE_PREFIX) && isNumbered(name))
    .map((name) => Number(name.slice(CONSOLE_PREFIX.length)))
    .sort((a, b) => a - b)
  for (const start of starts.splice(0, starts.length - 2))
    for (const prefix of [CONSOLE_PREFIX, TIMES_PREFIX])
      rmSync(join(directory, `${prefix}${start}`), { force: true })
  return starts.at(-1) ?? 0
}

/** One that said nothing, as where the VMM did not start, takes nobody's place. */
function keepAside(directory: string): void {
  const said = readdirSync(directory).filter(
    (name) => isOfConsole(name) && lstatSync(join(directory, name)).size > 0,
  )
  if (said.length === 0) return
  const previous = join(directory, PREVIOUS)
  rmSync(previous, { recursive: true, force: true })
  mkdirSync(previous, { mode: 0o700 })
  for (const name of said) renameSync(join(directory, name), join(previous, name))
}
