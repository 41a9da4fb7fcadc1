import { setTimeout as sleep } from "node:timers/promises"
import { type QgaChannel, Refused } from "./channel.ts"
import { GuestFile } from "./files.ts"
import { beginScript, ended, runScript, type ShellEnd } from "./shell.ts"
import type { StreamEnd } from "./stream-end.ts"
import { type QgaEnd, type QgaWork, valuesOf } from "./work.ts"

const FIRST_LOOK_MS = 5
const LAST_LOOK_MS = 100
const SIGKILL = 9

/** A folder of the guest for one command: input, output and errors go through files in it. */
const FOLDER =
  'umask 077; d=$(mktemp -d "${TMPDIR:-/tmp}/ovm.XXXXXX") && : >"$d/out" && : >"$d/err" && echo "$d"'
const RUN = `exec >"$1/out" 2>"$1/err" <"$3" || exit 126
cd "$2" || exit 126
shift 3
if command -v setsid >/dev/null; then exec setsid "$@"; fi
exec "$@"`
const SIGNAL = 'kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2"'
const REMOVE = 'rm -rf "$1"'

/** `exec` of spec/agent.md by QEMU's guest agent, which knows no terminals, no users, and input once it is whole. */
export async function executeByQga({ line, texts, end }: QgaWork): Promise<QgaEnd> {
  const words = valuesOf(texts, "argument")
  const [user] = valuesOf(texts, "user")
  if (words.length === 0) throw new Refused("it names no program")
  if (texts.some((text) => text === "main" || text.startsWith("terminal=")))
    throw new Refused("QEMU's guest agent runs a command without a terminal, and to its end")
  if (user !== undefined && user !== "root" && user !== "0")
    throw new Refused("QEMU's guest agent runs a command as root alone")
  const made = await runScript(line, FOLDER)
  const folder = made.output.trim()
  if (made.status !== 0 || !folder.startsWith("/"))
    throw new Refused(made.errors.trim() || "it has no room for a command's output")
  try {
    const input = texts.includes("input") ? `${folder}/in` : "/dev/null"
    if (texts.includes("input")) await inputTo(line, input, end)
    if (end.closed.aborted) return { kind: "signal", value: SIGKILL }
    const [directory = "/"] = valuesOf(texts, "directory")
    const script = {
      script: RUN,
      words: [folder, directory, input, ...words],
      variables: valuesOf(texts, "variable"),
    }
    return await followed(line, await beginScript(line, script, false), folder, end)
  } finally {
    await runScript(line, REMOVE, folder).catch(() => {})
  }
}

/** All that comes as input, in a file of the guest's. */
export async function inputTo(line: QgaChannel, path: string, end: StreamEnd): Promise<void> {
  const file = await GuestFile.open(line, path, "w")
  try {
    for await (const piece of end.input()) await file.write(piece)
  } finally {
    await file.close()
  }
}

async function followed(line: QgaChannel, pid: number, folder: string, end: StreamEnd): Promise<QgaEnd> {
  const signal = (number: number) => void runScript(line, SIGNAL, `${number}`, `${pid}`).catch(() => {})
  end.onSignal = signal
  const kill = () => signal(SIGKILL)
  end.closed.addEventListener("abort", kill, { once: true })
  if (end.closed.aborted) kill()
  const [output, errors] = [
    await GuestFile.open(line, `${folder}/out`, "r"),
    await GuestFile.open(line, `${folder}/err`, "r"),
  ]
  try {
    for (let wait = FIRST_LOOK_MS; ; ) {
      const how = await ended(line, pid)
      const some = [await passed(output, "stdout", end), await passed(errors, "stderr", end)]
      if (how) return doneOf(how)
      wait = some.includes(true) ? FIRST_LOOK_MS : Math.min(2 * wait, LAST_LOOK_MS)
      await sleep(wait)
    }
  } finally {
    end.closed.removeEventListener("abort", kill)
    end.onSignal = () => {}
    await output.close()
    await errors.close()
  }
}

/** What was written since the last look. True if there was anything. */
async function passed(file: GuestFile, channel: "stdout" | "stderr", end: StreamEnd): Promise<boolean> {
  for (let some = false; ; some = true) {
    const bytes = await file.read()
    if (bytes.length === 0) return some
    await end.say(channel, bytes)
  }
}

function doneOf({ status, signal }: ShellEnd): QgaEnd {
  return signal === undefined ? { kind: "status", value: status } : { kind: "signal", value: signal }
}
