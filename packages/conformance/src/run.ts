import { setMaxListeners } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Check, Failure, Skipped, type Verdict } from "./check.ts"
import type { Result } from "./result.ts"

export interface RunOptions {
  /** Of each check; of one that is slow, three times that. */
  readonly limitMs: number
  /** How many at a time. */
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

/** Runs `checks` against `subject`; results are in the order of the checks. */
export async function runChecks<S>(
  checks: readonly Check<S>[],
  subject: S,
  options: RunOptions,
): Promise<Result[]> {
  const results: Result[] = []
  const all = [...checks.entries()]
  const lane = async (queue: Iterable<[number, Check<S>]>) => {
    for (const [index, check] of queue) {
      if (options.signal?.aborted) return
      const result = await runCheck(check, subject, options)
      results[index] = result
      options.onResult?.(result)
    }
  }
  const lanes = (wanted: typeof all, count: number) => {
    // One that is long is none that all wait for in the end.
    const queue = wanted
      .toSorted(([, a], [, b]) => Number(b.slow ?? false) - Number(a.slow ?? false))
      .values()
    return Array.from({ length: count }, () => lane(queue))
  }
  await Promise.all([
    ...lanes(
      all.filter(([, { waits }]) => !waits),
      Math.max(1, options.jobs),
    ),
    ...lanes(
      all.filter(([, { waits }]) => waits),
      WAITING,
    ),
  ])
  return results.filter(Boolean)
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
