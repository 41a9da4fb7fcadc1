import { Refused } from "./channel.ts"
import { inputTo } from "./exec.ts"
import { GuestFile } from "./files.ts"
import { runScript } from "./shell.ts"
import { type QgaEnd, type QgaWork, valuesOf } from "./work.ts"

const ARCHIVE = 'umask 077; f=$(mktemp "${TMPDIR:-/tmp}/ovm.XXXXXX") || exit; echo "$f"\n'
const READ = `${ARCHIVE}p=$1
[ -e "$p" ] || [ -L "$p" ] || { echo "$p: there is nothing there" >&2; exit 1; }
if [ -L "$p" ]; then p=$(readlink -f "$p") || exit; fi
case $p in /) cd / && tar -cf "$f" . ;; *) cd "$(dirname "$p")" && tar -cf "$f" "./$(basename "$p")" ;; esac`
/** Into a folder that is there, or by another name into the one that it is in. */
const WRITE = `if [ -d "$2" ]; then cd "$2" && exec tar -xf "$1"; fi
[ "$3" ] && p=$(dirname "$2") && [ -d "$p" ] || { echo "$2: it is no folder" >&2; exit 1; }
t=$(mktemp -d "$p/.ovm.XXXXXX") && cd "$t" && tar -xf "$1" && n=$(ls -A) && [ -e "$t/$n" ] && mv -f "$t/$n" "$2"
s=$?; rm -rf "$t"; exit $s`
const REMOVE = 'rm -f "$1"'

/** `read` of spec/agent.md: by the guest's own tar, by way of a file of the guest's. */
export async function readOut({ line, texts, end }: QgaWork): Promise<QgaEnd> {
  const [path = "/"] = valuesOf(texts, "path")
  const made = await runScript(line, READ, path)
  const name = made.output.trim()
  try {
    if (made.status !== 0) return await failed({ end }, made.errors)
    const file = await GuestFile.open(line, name, "r")
    try {
      for (let bytes = await file.read(); bytes.length > 0 && !end.closed.aborted; bytes = await file.read())
        await end.say("stdout", bytes)
    } finally {
      await file.close()
    }
    return { kind: "status", value: 0 }
  } finally {
    if (name.startsWith("/")) await runScript(line, REMOVE, name).catch(() => {})
  }
}

/** `write` of spec/agent.md, likewise. */
export async function writeIn({ line, texts, end }: QgaWork): Promise<QgaEnd> {
  const [path = "/"] = valuesOf(texts, "path")
  const made = await runScript(line, ARCHIVE)
  const name = made.output.trim()
  if (made.status !== 0 || !name.startsWith("/"))
    throw new Refused(made.errors.trim() || "it has no room for what comes")
  try {
    await inputTo(line, name, end)
    if (end.closed.aborted) return await failed({ end }, "it was to end before all had come")
    const { status, errors } = await runScript(line, WRITE, name, path, texts.includes("rename") ? "1" : "")
    return status === 0 ? { kind: "status", value: 0 } : await failed({ end }, errors)
  } finally {
    await runScript(line, REMOVE, name).catch(() => {})
  }
}

async function failed({ end }: Pick<QgaWork, "end">, words: string): Promise<QgaEnd> {
  await end.say("stderr", Buffer.from(words.trim() || "the guest's tar failed"))
  return { kind: "status", value: 1 }
}
