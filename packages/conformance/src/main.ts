import { type Arguments, Misuse, type Plain, parseArguments } from "./arguments.ts"
import { chosen } from "./chosen.ts"
import { Progress } from "./progress.ts"
import { line, textReport } from "./report/text.ts"
import { jsonReport, writeReports } from "./report/write.ts"
import { exitStatus, type Result, type Run } from "./result.ts"
import { type RunOptions, runChecks } from "./run.ts"
import { Unusable, withSubject } from "./subject/open.ts"
import { loadSuite } from "./suite.ts"
import { USAGE } from "./usage.ts"
import { SPECIFICATION, SUITE } from "./version.ts"

/** The program `ovms-conformance`. Returns its exit status. */
async function main(words: readonly string[]): Promise<number> {
  const given = parseArguments(words)
  if ("show" in given) {
    process.stdout.write(await shown(given))
    return 0
  }
  const run = await tested(given)
  if (given.report !== undefined) await writeReports(run, given.report)
  process.stdout.write(given.json ? jsonReport(run) : textReport(run))
  return faults.length > 0 ? 2 : exitStatus(run.results)
}

type Listed = Omit<Result, "verdict" | "milliseconds">

async function shown(given: Plain): Promise<string> {
  if (given.show === "help") return USAGE
  if (given.show === "version") return `ovms-conformance ${SUITE}, OVMS ${SPECIFICATION}\n`
  const { kind: wanted = "", ...choice } = given
  const lines = (kind: string, checks: readonly Listed[]) =>
    chosen(checks, choice).map(
      ({ name, profile, covers }) => `${kind}\t${profile}\t${name}\t${covers.join(" ")}\n`,
    )
  return Object.entries(await loadSuite())
    .filter(([kind]) => wanted === "" || wanted === kind)
    .flatMap(([kind, checks]) => lines(kind, checks))
    .join("")
}

async function tested({ subject, ...given }: Arguments): Promise<Run> {
  const suite = await loadSuite()
  const checks = {
    wrapper: chosen(suite.wrapper, given),
    runtime: chosen(suite.runtime, given),
    adapter: chosen(suite.adapter, given),
    agent: chosen(suite.agent, given),
    registry: chosen(suite.registry, given),
  }
  if (checks[subject.kind].length === 0) throw new Misuse("no check has this profile and name: see --list")
  const stop = new AbortController()
  // However often: what was begun is ended, which is bounded.
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => stop.abort())
  const progress = new Progress(checks[subject.kind].length)
  const options: RunOptions = {
    limitMs: given.limitMs,
    jobs: given.jobs,
    signal: stop.signal,
    onResult: (result) => {
      progress.next(result.verdict === "fail" || result.verdict === "error" ? line(result) : undefined)
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
  progress.end()
  if (stop.signal.aborted) throw new Unusable("interrupted")
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

/** What went wrong behind a check's back: the others go on, and the run is told to be at fault. */
const faults: unknown[] = []
process.on("unhandledRejection", (thrown) => {
  faults.push(thrown)
  process.stderr.write(`ovms-conformance: nobody waited for this: ${wordsOf(thrown)}`)
})
// Whoever reads has seen enough.
for (const stream of [process.stdout, process.stderr])
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error
  })

function wordsOf(thrown: unknown): string {
  if (thrown instanceof Misuse) return `${thrown.message}\n\n${USAGE}`
  if (thrown instanceof Unusable) return `${thrown.message}\n`
  return `${(thrown as Error)?.stack ?? thrown}\n`
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (thrown) {
  process.stderr.write(`ovms-conformance: ${wordsOf(thrown)}`)
  process.exitCode = 2
}
