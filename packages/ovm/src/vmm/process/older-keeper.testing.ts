import { spawn } from "node:child_process"
import { pidNamespace } from "../../host/pid-namespace.ts"
import { holdFor } from "./held.ts"

/** What versions before the keeper started their VMMs under: machines of theirs may run when this one takes over. */
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
  echo '   ' >exit.tmp
  (
    read -r pid x x x x x x x x x x x x x x x x x x x x start x </proc/self/stat
    echo "$pid $start $namespace" >pid
    exec "$@" 4<&-
  )
  printf '%-3d\\n' $? 1<>exit.tmp
}
keep_console() {
  gate
  at=0 size=0
  while
    first $((segment - size)) >>console.$at
    status=$?
    size=$(wc -c <console.$at) || size=0
    if [ "$size" -ge "$segment" ]
    then
      rm -f console.$((at - segment))
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
  while head -c $words >>stderr; [ $? -gt 128 ]
  do :
  done
  exec cat >/dev/null
}
{ vmm "$@" 2>&3 3>&- | keep_console 3>&-; } 3>&1 >/dev/null | keep_words
mv exit.tmp exit
exit
`

/** Starts `argv` in `directory` as those versions did, with `segment` bytes a segment of its console. */
export async function spawnOlder(argv: readonly string[], directory: string, segment: number): Promise<void> {
  using held = holdFor(directory)
  const known = [segment, 64 << 10, pidNamespace(), ""].map(String)
  const child = spawn("sh", ["-c", SCRIPT, "ovm-vmm", ...known, ...argv], {
    cwd: directory,
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ignore", "ignore", held.fd],
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin" },
  })
  await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject))
  child.unref()
}
