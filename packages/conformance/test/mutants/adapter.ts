// The example adapter with one fault: FAULT names it, MUTANT_REAL is the adapter (table.ts).
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

const fault = process.env.FAULT ?? ""
const real = spawn(process.env.MUTANT_REAL ?? "", [], { stdio: ["pipe", "pipe", "ignore"] })
const verbs = new Map<number, string>()

// biome-ignore lint/suspicious/noExplicitAny: a line that is changed at will
type Line = any

const CHANGES: Readonly<Record<string, (line: Line, verb: string) => Line>> = {
  "says another name": (line) => (line.adapter ? { ...line, adapter: "other" } : line),
  "answers with another number": (line, verb) =>
    verb === "capabilities" ? { ...line, id: line.id + 100 } : line,
  "has codes of its own": (line) => (line.error ? { ...line, error: { ...line.error, code: "NO" } } : line),
  "finds one thing": (line, verb) =>
    verb === "check" ? { ...line, result: { findings: line.result.findings.slice(0, 1) } } : line,
  "runs a relative program": (line, verb) =>
    verb === "prepare"
      ? { ...line, result: { ...line.result, argv: ["qemu", ...line.result.argv.slice(1)] } }
      : line,
  "calls what runs still": (line, verb) =>
    verb === "watch" ? { ...line, result: { running: false, reason: "request" } } : line,
  "calls every end a reset": (line, verb) =>
    verb === "ended" ? { ...line, result: { reason: "guest-reset" } } : line,
  "guesses how it ended": (line, verb) =>
    verb === "ended" && !line.result?.reason ? { ...line, result: { reason: "guest-shutdown" } } : line,
  "calls all that fails away": (line) =>
    line.error ? { ...line, error: { ...line.error, code: "OVM_VMM_UNREACHABLE" } } : line,
}

const planned = (more: object) => (line: Line) =>
  line.verb === "prepare" ? { ...line, plan: { ...line.plan, ...more } } : line

/** What it makes of what it is asked. */
const REQUESTS: Readonly<Record<string, (line: Line) => Line>> = {
  "leaves volumes away": planned({ volumes: [] }),
  "leaves an initrd away": planned({ initrd: undefined }),
  "has one processor": (line) => planned({ resources: { ...line.plan?.resources, vcpus: 1 } })(line),
  "connects no interface": planned({ network: { mac: "52:54:00:12:34:56" } }),
  "has an interface of its own": planned({ network: { mac: "52:54:00:00:00:01" } }),
  "has an ID of its own": planned({ generationId: "00000000-0000-0000-0000-000000000001" }),
}

createInterface({ input: real.stdout }).on("line", (text) => {
  const line = JSON.parse(text)
  const changed = CHANGES[fault]?.(line, verbs.get(line.id) ?? "") ?? (CHANGES[fault] ? undefined : line)
  if (changed !== undefined) process.stdout.write(`${JSON.stringify(changed)}\n`)
})
createInterface({ input: process.stdin })
  .on("line", (text) => {
    const line = JSON.parse(text)
    verbs.set(line.id, line.verb)
    real.stdin.write(`${JSON.stringify(REQUESTS[fault]?.(line) ?? line)}\n`)
  })
  .on("close", () => {
    real.stdin.end()
    if (fault === "leaves a process") spawn("sleep", ["60"], { stdio: "ignore", detached: true }).unref()
    if (fault === "outlives its input") setInterval(() => {}, 1000)
  })
