import { access, constants } from "node:fs/promises"
import { resolve } from "node:path"
import { type Arguments, Misuse, parseArguments } from "./arguments.ts"
import { line, textReport } from "./report/text.ts"
import { jsonReport, writeReports } from "./report/write.ts"
import { exitStatus, type Run } from "./result.ts"
import { runChecks } from "./run.ts"
import { Wrapper } from "./subject/wrapper.ts"
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

async function shown(what: "help" | "version" | "list"): Promise<string> {
  if (what === "help") return USAGE
  if (what === "version") return `ovms-conformance ${SUITE}, OVMS ${SPECIFICATION}\n`
  const { wrapper } = await loadSuite()
  const lines = wrapper.map(
    ({ name, profile, covers }) => `wrapper\t${profile}\t${name}\t${covers.join(" ")}\n`,
  )
  return lines.join("")
}

async function tested(given: Arguments): Promise<Run> {
  const suite = await loadSuite()
  const { only = "", profiles, kind } = given
  const checks = suite[kind].filter((check) => profiles.includes(check.profile) && check.name.includes(only))
  if (checks.length === 0) throw new Misuse("no check has this profile and name: see --list")
  const program = resolve(given.target)
  await access(program, constants.X_OK).catch(() => {
    throw new Misuse(`${program} is not an executable file`)
  })
  const stop = new AbortController()
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort())
  const began = performance.now()
  const started = new Date().toISOString()
  const results = await runChecks(checks, new Wrapper(program), {
    limitMs: given.limitMs,
    jobs: given.jobs,
    signal: stop.signal,
    onResult: (result) => {
      if (result.verdict === "fail" || result.verdict === "error") process.stderr.write(`${line(result)}\n`)
    },
  })
  if (stop.signal.aborted) throw new Misuse("interrupted")
  return {
    subject: given.name,
    kind,
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
