import { type Arguments, Misuse, parseArguments } from "./arguments.ts"
import { line, textReport } from "./report/text.ts"
import { jsonReport, writeReports } from "./report/write.ts"
import { exitStatus, type Result, type Run } from "./result.ts"
import { type RunOptions, runChecks } from "./run.ts"
import { withSubject } from "./subject/open.ts"
import { loadSuite } from "./suite.ts"
import { USAGE } from "./usage.ts"
import { SPECIFICATION, SUITE } from "./version.ts"

/** The program `ovms-conformance`. Returns its exit status. */
async function main(words: readonly string[]): Promise<number> {
  const given = parseArguments(words)
  if ("show" in given) {
    process.stdout.write(await shown(given.show))
    return 0
  }
  const run = await tested(given)
  if (given.report !== undefined) await writeReports(run, given.report)
  process.stdout.write(given.json ? jsonReport(run) : textReport(run))
  return exitStatus(run.results)
}

type Listed = Omit<Result, "verdict" | "milliseconds">

async function shown(what: "help" | "version" | "list"): Promise<string> {
  if (what === "help") return USAGE
  if (what === "version") return `ovms-conformance ${SUITE}, OVMS ${SPECIFICATION}\n`
  const suite = await loadSuite()
  const lines = (kind: string, checks: readonly Listed[]) =>
    checks.map(({ name, profile, covers }) => `${kind}\t${profile}\t${name}\t${covers.join(" ")}\n`)
  return Object.entries(suite)
    .flatMap(([kind, checks]) => lines(kind, checks))
    .join("")
}

async function tested({ subject, profiles, only = "", ...given }: Arguments): Promise<Run> {
  const suite = await loadSuite()
  const wanted = (check: { profile: string; name: string }) =>
    profiles.some((profile) => profile === check.profile) && check.name.includes(only)
  const checks = {
    wrapper: suite.wrapper.filter(wanted),
    runtime: suite.runtime.filter(wanted),
    adapter: suite.adapter.filter(wanted),
    agent: suite.agent.filter(wanted),
    registry: suite.registry.filter(wanted),
  }
  if (checks[subject.kind].length === 0) throw new Misuse("no check has this profile and name: see --list")
  const stop = new AbortController()
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())
  const options: RunOptions = {
    limitMs: given.limitMs,
    jobs: given.jobs,
    signal: stop.signal,
    onResult: (result) => {
      if (result.verdict === "fail" || result.verdict === "error") process.stderr.write(`${line(result)}\n`)
    },
  }
  const began = performance.now()
  const started = new Date().toISOString()
  const results = await withSubject(subject, stop.signal, {
    wrapper: (wrapper) => runChecks(checks.wrapper, wrapper, options),
    runtime: (runtime) => runChecks(checks.runtime, runtime, options),
    adapter: (adapter) => runChecks(checks.adapter, adapter, options),
    agent: (agent) => runChecks(checks.agent, agent, options),
    registry: (remote) => runChecks(checks.registry, remote, options),
  })
  if (stop.signal.aborted) throw new Misuse("interrupted")
  return {
    subject: given.name,
    kind: subject.kind,
    specification: SPECIFICATION,
    suite: SUITE,
    started,
    milliseconds: Math.round(performance.now() - began),
    results,
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (thrown) {
  const words =
    thrown instanceof Misuse ? `${thrown.message}\n\n${USAGE}` : `${(thrown as Error)?.stack ?? thrown}\n`
  process.stderr.write(`ovms-conformance: ${words}`)
  process.exitCode = 2
}
