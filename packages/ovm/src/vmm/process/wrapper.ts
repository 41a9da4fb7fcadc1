import { spawn } from "node:child_process"
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../../errors.ts"
import { pidNamespace } from "../../host/pid-namespace.ts"
import { HELD_FILE, holdFor } from "./held.ts"
import { sessionNice, yieldToUs } from "./priority.ts"

/** Files that the wrapper leaves in the instance's directory. */
export const PID_FILE = "pid"
export const EXIT_FILE = "exit"
export const STDERR_FILE = "stderr"
/** Followed by the segment's offset in the whole stream, in bytes. */
export const CONSOLE_PREFIX = "console."

/** The name by which the wrapper's shell goes in its arguments. */
export const WRAPPER = "ovm-vmm"

const STDERR_LIMIT = 64 << 10
/** The longest that a VMM's output waits in its pipes at first. */
const GATE_MS = 100

/**
 * Runs a VMM so that nothing depends on the process that started it: this shell keeps its console within bounds and
 * leaves its exit status on disk.
 *
 * - `pid`: the VMM's pid, start time and PID namespace, taken by the very process that becomes the VMM.
 * - `held`: locked by all of them, through descriptor 5 (held.ts).
 * - `console.OFFSET`: standard output in segments, of which the last two are kept. dd with a larger block would not do:
 *   its count is of reads, however short, not of bytes. A reader that is killed is followed by another one, in the same
 *   segment. One that cannot write, as on a full disk, has what came meanwhile dropped, so that the VMM never waits,
 *   and the console goes on once there is room.
 * - `stderr`: the first words of standard error, complete once the VMM has ended; the rest is read and dropped, so that
 *   a chatty VMM never blocks.
 * - `exit`: the status, renamed into place only when all output is on disk. Killed by signal N: 128 + N. Its room is
 *   taken before the VMM starts and written over in place, so that a machine that ends on a full disk has its status
 *   too.
 *
 * Standard input is a gate, which opens by its end: the programs that read the VMM's output wait for it, and leave the
 * processor to the VMM while that starts.
 *
 * The shell stays until the status is in its place: who looks whether a wrapper is there knows it by the shell
 * (stray.ts).
 *
 * The session yields to the daemon's (priority.ts). The kernel takes one such wish in a tenth of a second from all
 * users without privileges, so it may have to be said again.
 *
 * Arguments: bytes a segment, bound on stderr, PID namespace, the session's nice value or nothing, then the VMM's argv.
 * They are never parsed as shell text.
 */
const SCRIPT = `
segment=$1 words=$2 namespace=$3 nice=$4
shift 4
exec 4<&0 </dev/null
gate() {
  read -r x <&4
  exec 4<&-
}
if command -v stdbuf >/dev/null
then first() { stdbuf -o0 head -c "$1"; }
else first() { dd bs=1 count="$1" 2>/dev/null; }
fi
vmm() {
  echo '   ' >${EXIT_FILE}.tmp
  (
    read -r pid x x x x x x x x x x x x x x x x x x x x start x </proc/self/stat
    echo "$pid $start $namespace" >${PID_FILE}
    exec "$@" 4<&-
  )
  printf '%-3d\\n' $? 1<>${EXIT_FILE}.tmp
}
keep_console() {
  gate
  at=0 size=0
  while
    first $((segment - size)) >>${CONSOLE_PREFIX}$at
    status=$?
    size=$(wc -c <${CONSOLE_PREFIX}$at) || size=0
    if [ "$size" -ge "$segment" ]
    then
      rm -f ${CONSOLE_PREFIX}$((at - segment))
      at=$((at + segment)) size=0
    elif [ $status -gt 0 ] && [ $status -lt 128 ]
    then [ "$(dd bs=4096 count=1 2>/dev/null | wc -c)" -gt 0 ]
    else [ $status -gt 0 ]
    fi
  do :
  done
  exec cat >/dev/null
}
yield() {
  for x in 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9
  do
    echo "$nice" 2>/dev/null >/proc/self/autogroup && return
    sleep 0.15
  done
}
keep_words() {
  [ "$nice" = "" ] || yield 2>/dev/null
  gate
  while head -c $words >>${STDERR_FILE}; [ $? -gt 128 ]
  do :
  done
  exec cat >/dev/null
}
{ vmm "$@" 2>&3 3>&- | keep_console 3>&-; } 3>&1 >/dev/null | keep_words
mv ${EXIT_FILE}.tmp ${EXIT_FILE}
exit
`

export interface Wrapped {
  /** Process group and session of the wrapper and all below it. */
  readonly group: number
  /**
   * Has the VMM's output read from now on; else that begins after a tenth of a second, or with the end of this process.
   */
  open(): void
}

/**
 * Starts `argv` under the wrapper in `directory`, in a session of its own, with no environment but PATH and a lower
 * priority than this process has. Returns once the wrapper is spawned, which says nothing about the VMM. `consoleLimit`
 * is in bytes. Throws OVM_VMM_FAILED if not even the shell could be started.
 */
export async function spawnWrapped(
  argv: readonly string[],
  options: { readonly directory: string; readonly consoleLimit: number },
): Promise<Wrapped> {
  const segment = Math.max(1, Math.floor(options.consoleLimit / 2))
  const known = [segment, STDERR_LIMIT, pidNamespace(), sessionNice() ?? ""].map(String)
  const args = ["-c", SCRIPT, WRAPPER, ...known, ...argv]
  try {
    clearTraces(options.directory)
    using held = holdFor(options.directory)
    const child = spawn("sh", args, {
      cwd: options.directory,
      detached: true,
      stdio: ["pipe", "ignore", "ignore", "ignore", "ignore", held.fd],
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
    })
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject))
    child.unref()
    if (child.pid === undefined) throw new Error("the shell has no pid")
    yieldToUs(child.pid)
    const { stdin } = child
    stdin?.on("error", () => {})
    const open = () => void stdin?.end()
    setTimeout(open, GATE_MS).unref()
    return { group: child.pid, open }
  } catch (cause) {
    rmSync(join(options.directory, HELD_FILE), { force: true })
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new OvmError("OVM_VMM_FAILED", `${argv[0]} could not be started: ${reason}`, { cause })
  }
}

/** In a machine's folder: the console of its life before, in the same segments. */
export const PREVIOUS = "previous"

/**
 * What an earlier machine in the same folder left must not be taken for this one's; what it said last is kept aside.
 */
function clearTraces(directory: string): void {
  keepAside(directory)
  const traces = new Set([HELD_FILE, PID_FILE, EXIT_FILE, `${EXIT_FILE}.tmp`, STDERR_FILE])
  for (const name of readdirSync(directory))
    if (traces.has(name) || name.startsWith(CONSOLE_PREFIX)) rmSync(join(directory, name), { force: true })
}

/** One that said nothing, as where the VMM did not start, takes nobody's place. */
function keepAside(directory: string): void {
  const said = readdirSync(directory).filter(
    (name) => name.startsWith(CONSOLE_PREFIX) && lstatSync(join(directory, name)).size > 0,
  )
  if (said.length === 0) return
  const previous = join(directory, PREVIOUS)
  rmSync(previous, { recursive: true, force: true })
  mkdirSync(previous, { mode: 0o700 })
  for (const name of said) renameSync(join(directory, name), join(previous, name))
}
