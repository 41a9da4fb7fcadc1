// Runs all tests, or those under the paths given, and ends with the one line that CI reads:
// `N passed, N failed, N skipped`. Status 0 only if something ran and nothing failed. However it ends, no process and
// no file of it is left: where it could not see to that itself, the next one does.
import { type ChildProcess, spawn } from "node:child_process"
import { readFile } from "node:fs/promises"
import { constants } from "node:os"
import { join } from "node:path"
import { openRunFolder, removeRunFolder } from "./run-folder.ts"

const ROOT = join(import.meta.dir, "..")
/** Real machines and processes, on a host that may be busy: what hangs is ended, what is slow is not a failure. */
const PATIENCE_MS = 240_000
const FOLDERS = ["./packages", "./spec", "./scripts", "./bench"]

interface Outcome {
  readonly status: number
  /** What the tests themselves said about why they skip. */
  readonly reasons: readonly string[]
  readonly fails: number
}

/** Runs bun's test runner with its output passed on as it comes. */
function run(args: readonly string[], tmp: string): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ["test", ...args], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, TMPDIR: tmp },
    })
    onSignal(child)
    const reasons = new Set<string>()
    let fails = 0
    for (const stream of [child.stdout, child.stderr]) {
      let rest = ""
      stream.setEncoding("utf8")
      stream.on("data", (text: string) => {
        process.stdout.write(text)
        const lines = (rest + text).split("\n")
        rest = lines.pop() ?? ""
        for (const line of lines) {
          const reason = /^(?:SKIP|skipped:) (.*)/.exec(line)?.[1]
          if (reason) reasons.add(reason)
          // Files that could not be loaded are counted here and nowhere in the JUnit report.
          const fail = /^ *(\d+) fail$/.exec(line)
          if (fail) fails = Number(fail[1])
        }
      })
    }
    child.on("error", reject)
    child.on("close", (status) => resolve({ status: status ?? 1, reasons: [...reasons], fails }))
  })
}

/** The first signal ends the runner; what it had started is ended with the folder. */
function onSignal(child: ChildProcess): void {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
    process.once(signal, () => {
      child.kill("SIGKILL")
      removeRunFolder(folder.root).finally(() => process.exit(128 + constants.signals[signal]))
    })
}

/** What is said of one failure where the whole output is cut: enough to know it again. */
const MESSAGE_CHARACTERS = 200

/** The figures of one JUnit report, the names of the skipped tests in it, and the failed ones with what they said. */
function summary(xml: string): { tests: number; failures: number; skipped: string[]; failed: string[] } {
  const totals = /<testsuites [^>]*>/.exec(xml)?.[0] ?? ""
  const total = (name: string) => Number(new RegExp(` ${name}="(\\d+)"`).exec(totals)?.[1] ?? 0)
  const skipped = [...xml.matchAll(/<testcase name="([^"]*)"[^>]* file="([^"]*)"[^>]*>\s*<skipped/g)]
  const failed = [
    ...xml.matchAll(/<testcase name="([^"]*)"[^>]* file="([^"]*)" line="(\d+)"[^>]*>\s*(<failure[^>]*)/g),
  ]
  return {
    tests: total("tests"),
    failures: total("failures"),
    skipped: skipped.map(([, name = "", file = ""]) => `${file}: ${plain(name)}`),
    failed: failed.map(([, name = "", file = "", line = "", failure = ""]) => {
      const message = plain(/ message="([^"]*)"/.exec(failure)?.[1] ?? "").replace(/\s+/g, " ")
      return `${file}:${line}: ${plain(name)}: ${message.slice(0, MESSAGE_CHARACTERS)}`
    }),
  }
}

function plain(text: string): string {
  const entities: Record<string, string> = {
    "&lt;": "<",
    "&gt;": ">",
    "&quot;": '"',
    "&apos;": "'",
    "&amp;": "&",
    "&#10;": "\n",
  }
  return text.replace(/&(?:lt|gt|quot|apos|amp|#10);/g, (entity) => entities[entity] ?? entity)
}

const folder = await openRunFolder()
try {
  const report = join(folder.root, "junit.xml")
  const paths = process.argv.length > 2 ? process.argv.slice(2) : FOLDERS
  const { status, reasons, fails } = await run(
    ["--reporter=junit", `--reporter-outfile=${report}`, `--timeout=${PATIENCE_MS}`, ...paths],
    folder.tmp,
  )
  const { tests, failures, skipped, failed } = summary(await readFile(report, "utf8").catch(() => ""))

  const lost = Math.max(fails, failures, status === 0 ? 0 : 1)
  const passed = tests - failures - skipped.length
  if (skipped.length > 0) console.log(`\nSkipped:\n${skipped.map((name) => `  ${name}`).join("\n")}`)
  if (reasons.length > 0) console.log(`\nReasons:\n${reasons.map((reason) => `  ${reason}`).join("\n")}`)
  // A hook that failed is in no report: which file it was stands above.
  if (fails > failed.length)
    failed.push(`${fails - failed.length} more outside of tests, as a hook or a file's import`)
  // Last, since whoever has but the end of the output is to know what failed.
  if (failed.length > 0) console.log(`\nFailed:\n${failed.map((one) => `  ${one}`).join("\n")}`)
  if (passed === 0) console.log("\nNo test passed.")
  console.log(`\n${passed} passed, ${lost} failed, ${skipped.length} skipped`)
  process.exitCode = lost > 0 || passed === 0 ? 1 : 0
} finally {
  const left = await removeRunFolder(folder.root)
  if (left.length > 0)
    console.error(`ended what the tests left running:\n${left.map((one) => `  ${one}`).join("\n")}`)
}
