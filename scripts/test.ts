// Runs all tests, or those at and under the paths given, in one lane more than there are processors and in more while
// these have time to spare, or in just LANES, and ends with the one line that CI reads:
// `N passed, N failed, N skipped`. Status 0 only if something ran and nothing failed. However it ends, no process of it
// is left, nor a file: where it could not see to that itself, the next one does.
import { availableParallelism, constants } from "node:os"
import { join } from "node:path"
import { Idle } from "./idle.ts"
import { type Beside, Lanes, type Outcome } from "./lanes.ts"
import { openRunFolder, removeRunFolder } from "./run-folder.ts"
import { planOf } from "./test-files.ts"

const ROOT = join(import.meta.dir, "..")
const FOLDERS = ["packages", "clients", "spec", "scripts", "bench"]
/** So many of the files are named that took longest. */
const LONGEST = 10
/** So many files beside the others for each processor, while all have this part of their time to spare. */
const MORE = 2
const SPARE = 0.25

/** How many of `files` are run at a time, and how many more where that leaves the processors something to spare. */
function lanesFor(files: readonly string[]): [number, Beside?] {
  const asked = files.length === 1 ? 1 : process.env.LANES
  if (asked !== undefined) return [Number(asked)]
  const processors = availableParallelism()
  const idle = new Idle()
  return [processors + 1, { more: MORE * processors, spare: () => idle.share() >= SPARE }]
}

/** The first signal ends the runner; what it had started is ended with the folder. */
function endBySignal(lanes: Lanes): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      lanes.end()
      removed().finally(() => process.exit(128 + constants.signals[signal]))
    })
}

/** Tells what came of all, the figures last. True if something ran and nothing failed. */
function told(outcomes: readonly Outcome[]): boolean {
  const sum = (figure: (one: Outcome) => number) => outcomes.reduce((total, one) => total + figure(one), 0)
  const list = (title: string, lines: readonly string[]) => {
    if (lines.length > 0) console.log(`\n${title}:\n${lines.map((line) => `  ${line}`).join("\n")}`)
  }
  const lost = sum(({ fails, failures, status }) => Math.max(fails, failures, status === 0 ? 0 : 1))
  const skipped = outcomes.flatMap((one) => one.skipped)
  const passed = sum(({ tests, failures }) => tests - failures) - skipped.length
  const longest = outcomes.toSorted((a, b) => b.seconds - a.seconds).slice(0, LONGEST)
  list(
    "Longest",
    longest.map(({ file, seconds }) => `${seconds.toFixed(1).padStart(6)} s ${file}`),
  )
  list("Skipped", skipped)
  list("Reasons", [...new Set(outcomes.flatMap(({ reasons }) => reasons))])
  // Last, since whoever has but the end of the output is to know what failed.
  list("Failed", outcomes.flatMap(failuresOf))
  if (passed === 0) console.log("\nNo test passed.")
  console.log(`\n${passed} passed, ${lost} failed, ${skipped.length} skipped`)
  return lost === 0 && passed > 0
}

function failuresOf({ file, failed, fails, status }: Outcome): string[] {
  // A hook that failed, or a file that could not be loaded, is in no report.
  const more = Math.max(fails - failed.length, 0)
  if (more > 0) return [...failed, `${file}: ${more} more outside of tests, as a hook or the file's import`]
  return failed.length > 0 || status === 0 ? [...failed] : [`${file}: ended with status ${status}`]
}

const folder = await openRunFolder()
let removal: Promise<string[]> | undefined
/** Once, whoever is the first to ask: two at a time would be in each other's way. */
function removed(): Promise<string[]> {
  removal ??= removeRunFolder(folder)
  return removal
}
try {
  const lanes = new Lanes(ROOT, folder)
  endBySignal(lanes)
  const { together, alone } = await planOf(ROOT, process.argv.length > 2 ? process.argv.slice(2) : FOLDERS)
  const outcomes = [...(await lanes.run(together, ...lanesFor(together))), ...(await lanes.run(alone, 1))]
  if (!told(outcomes)) process.exitCode = 1
} finally {
  const left = await removed()
  if (left.length > 0)
    console.error(`ended what the tests left running:\n${left.map((one) => `  ${one}`).join("\n")}`)
}
