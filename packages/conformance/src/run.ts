import { setMaxListeners } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Check, Failure, Skipped, type Verdict } from "./check.ts"
import type { Result } from "./result.ts"

export interface RunOptions {
  /** Of each check; of one that is slow, three times that. */
  readonly limitMs: number
  /** How many at a time of those that keep a processor busy. */
  readonly jobs: number
  readonly signal?: AbortSignal
  readonly onResult?: (result: Result) => void
}

/** How long a check has to come to its end once its time is over, before the suite goes on without it. */
const GRACE_MS = 10_000

/** How many times as long a check has that boots a whole system. */
const SLOW = 3

/** How many checks that wait are run at a time, beside the others. */
const WAITING = 4

/** To how many lanes there is a further one for checks that boot no whole system: half of their time they wait too. */
const LIGHT = 2

/** Runs `checks` against `subject`; results are in the order of the checks. */
export async function runChecks<S>(
  checks: readonly Check<S>[],
  subject: S,
  options: RunOptions,
): Promise<Result[]> {
  const results: Result[] = []
  const kinds = new Map<string, [number, Check<S>][]>()
  for (const entry of checks.entries()) {
    const kind = kindOf(entry[1])
    kinds.set(kind, [...(kinds.get(kind) ?? []), entry])
  }
  const take = (kind: string) => kinds.get(kind)?.shift()
  const lane = async (...wanted: readonly string[]) => {
    while (!options.signal?.aborted) {
      const next = take(wanted.find((kind) => kinds.get(kind)?.length) ?? "")
      if (!next) return
      const [index, check] = next
      const result = await runCheck(check, subject, options)
      results[index] = result
      options.onResult?.(result)
    }
  }
  const lanes = (count: number, ...wanted: readonly string[]) =>
    Array.from({ length: count }, () => lane(...wanted))
  await Promise.all([
    // One that is long is none that all wait for in the end.
    ...lanes(options.jobs, "slow", "light"),
    ...lanes(Math.floor(options.jobs / LIGHT), "light"),
    ...lanes(WAITING, "slow, waits", "waits"),
    ...[...kinds.keys()].filter((kind) => kind.startsWith("needs ")).map((kind) => lane(kind)),
  ])
  return results.filter(Boolean)
}

/** By what a lane chooses. */
function kindOf({ needs, slow, waits }: Pick<Check<unknown>, "needs" | "slow" | "waits">): string {
  if (needs !== undefined) return `needs ${needs}`
  if (waits) return slow ? "slow, waits" : "waits"
  return slow ? "slow" : "light"
}

async function runCheck<S>(check: Check<S>, subject: S, options: RunOptions): Promise<Result> {
  const began = performance.now()
  const folder = await mkdtemp(join(tmpdir(), "ovms-conformance-"))
  const stop = new AbortController()
  const limitMs = options.limitMs * (check.slow ? SLOW : 1)
  const timer = setTimeout(() => stop.abort(), limitMs)
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
  // A check may wait for a crowd of answers at once.
  setMaxListeners(0, signal)
  let outcome: { verdict: Verdict; reason?: string }
  try {
    await within(check.run(subject, { folder, signal }), signal)
    outcome = { verdict: "pass" }
  } catch (thrown) {
    outcome = verdictOf(thrown, signal, { limitMs })
  } finally {
    clearTimeout(timer)
    await rm(folder, { recursive: true, force: true, maxRetries: 3 }).catch(() => {})
  }
  const { name, profile, covers } = check
  return { name, profile, covers, ...outcome, milliseconds: Math.round(performance.now() - began) }
}

/** A check that does not end once it is told to is the suite's own fault: what it waits for is bounded. */
async function within(work: Promise<void>, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const overdue = new Promise<never>((_, reject) => {
    const arm = () => {
      timer = setTimeout(() => reject(new Error("the check does not end")), GRACE_MS)
    }
    if (signal.aborted) arm()
    else signal.addEventListener("abort", arm, { once: true })
  })
  try {
    await Promise.race([work, overdue])
  } finally {
    clearTimeout(timer)
  }
}

function verdictOf(
  thrown: unknown,
  signal: AbortSignal,
  { limitMs }: Pick<RunOptions, "limitMs">,
): Pick<Result, "verdict"> & { reason: string } {
  if (thrown instanceof Skipped) return { verdict: "skip", reason: thrown.message }
  if (thrown instanceof Failure) return { verdict: "fail", reason: thrown.message }
  const said = thrown instanceof Error ? thrown.message : String(thrown)
  if (signal.aborted && said !== "the check does not end")
    return { verdict: "fail", reason: `it took longer than ${limitMs / 1000} s` }
  return { verdict: "error", reason: thrown instanceof Error ? (thrown.stack ?? said) : said }
}
