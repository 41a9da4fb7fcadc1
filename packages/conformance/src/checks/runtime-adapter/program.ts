// The two programs of a VMM that is none: an adapter that does as it is told, and a machine that is a shell script.

/**
 * An adapter (spec/runtimes/adapter.md) in one file for Node and Bun. In its folder, `manners.json` says of a verb what
 * it does in place of what it should; `asked` gets a line for each request, and `begun` one for each process.
 */
export const ADAPTER = `
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createInterface } from "node:readline"
const [name, folder] = process.argv.slice(2)
const at = (file) => folder + "/" + file
const manners = () => JSON.parse(readFileSync(at("manners.json"), "utf8"))
const say = (line) => process.stdout.write(JSON.stringify(line) + "\\n")
const pidOf = ({ directory }) => Number(readFileSync(directory + "/vmm.pid", "utf8"))
const lives = (pid) => { try { process.kill(pid, 0); return true } catch { return false } }
const kill = (request, signal) => { try { process.kill(pidOf(request), signal) } catch {} }
const guest = ({ directory }, running) => say({ event: "guest", directory, running, ...(!running && { reason: "request" }) })
const own = { version: "1.0", binary: "/bin/sh", accelerator: "none", acceleratorReason: "it is a shell", accelerators: ["none"] }
const verbs = {
  capabilities: () => own,
  check: () => ({ findings: [] }),
  prepare: ({ plan }) => ({ argv: ["/bin/sh", at("machine.sh"), at("")], own: { id: plan.id } }),
  start: async ({ directory }) => {
    while (!existsSync(directory + "/vmm.pid")) await new Promise((resolve) => setTimeout(resolve, 10))
    return {}
  },
  watch: (request) => {
    const pid = pidOf(request)
    const timer = setInterval(() => {
      if (lives(pid)) return
      clearInterval(timer)
      say({ event: "ended", directory: request.directory })
    }, 50)
    return { running: true }
  },
  pause: (request) => { writeFileSync(request.directory + "/paused", ""); guest(request, false); return {} },
  resume: (request) => { rmSync(request.directory + "/paused"); guest(request, true); return {} },
  press: (request) => { writeFileSync(request.directory + "/end", "0"); return {} },
  quit: (request) => { kill(request, "SIGTERM"); return {} },
  ended: ({ status, signal }) => signal !== undefined ? { reason: "signal" } : status === 0 ? { reason: "guest-shutdown" } : { reason: "result", result: status },
}
const faults = {
  hang: () => {},
  die: () => process.exit(1),
  garbage: () => process.stdout.write("no object of JSON\\n"),
  list: () => process.stdout.write("[1]\\n"),
  flood: () => process.stdout.write("x".repeat(2 << 20)),
  stranger: ({ id }) => say({ id: id + 1000, result: {} }),
  ended: ({ id, ...request }) => { kill(request, "SIGTERM"); say({ id, error: { code: "OVM_VMM_FAILED", message: "it has ended" } }) },
}
appendFileSync(at("begun"), process.pid + "\\n")
const first = manners().first
if (first) faults[first]({ id: 0 })
else say({ adapter: name, contract: 1, version: "1.0" })
createInterface({ input: process.stdin }).on("line", async (line) => {
  const request = JSON.parse(line)
  appendFileSync(at("asked"), line + "\\n")
  const fault = faults[manners()[request.verb]]
  if (fault) return fault(request)
  say({ id: request.id, result: await verbs[request.verb](request) })
}).on("close", () => process.exit())
`

/** A machine that counts, says what is typed back, and ends with the number in its file \`end\`. */
export const MACHINE = `
trap 'exit 0' TERM
trap 'exit "$(cat end)"' USR1
echo $$ >pid.new && mv pid.new vmm.pid
echo GUEST-READY
pwd >place
tr '\\0' '\\n' </proc/$$/environ >environment
(
  n=0
  while kill -0 $$ 2>/dev/null; do
    [ -f paused ] || n=$((n + 1)) && [ -f paused ] || echo "TICK $n"
    [ -f end ] && kill -USR1 $$
    sleep 0.1
  done
) &
while :; do
  read -r line && echo "ECHO [$line]"
done
`
