/**
 * Two ways of doing the same thing, measured in turns, so that whatever else the machine does strikes both. Each way
 * returns how long it took, in milliseconds; the first round of each warms caches and is not counted.
 */
export async function inTurns(
  rounds: number,
  ...ways: readonly (() => Promise<number> | number)[]
): Promise<number[]> {
  const times: number[][] = ways.map(() => [])
  for (let round = 0; round <= rounds; round++)
    for (const [index, way] of ways.entries()) {
      const time = await way()
      if (round > 0) times[index]?.push(time)
    }
  return times.map(median)
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/** Another program or way that ours is compared with, and how long it took, in milliseconds. */
export interface Peer<T> {
  readonly name: string
  readonly took: T
}

/** One line: both sides, in milliseconds, their ratio, and the bound that the project sets itself. */
export function report(what: string, ours: number, theirs: Peer<number>, bound: number): void {
  const ratio = ours / theirs.took
  const verdict = ratio <= bound ? "holds" : "MISSED"
  console.log(
    `${what}: ${ours.toFixed(1)} ms, ${theirs.name}: ${theirs.took.toFixed(1)} ms, ratio ${ratio.toFixed(2)} (bound ${bound}: ${verdict})`,
  )
}

/** One line: median and the value that one in a hundred is above, in milliseconds. Gives the median. */
export function spread(what: string, values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const [p50, p99] = [median(values), percentile99(sorted)]
  console.log(`${what}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms (${values.length})`)
  return p50
}

function percentile99(sorted: readonly number[]): number {
  return sorted[Math.ceil(sorted.length * 0.99) - 1] ?? Number.NaN
}

/**
 * Three lines: `spread` of ours and of theirs, then the ratio of the medians and the bound that the project sets
 * itself.
 */
export function compare(
  what: string,
  ours: readonly number[],
  theirs: Peer<readonly number[]>,
  bound: number,
): void {
  const ratio = spread(what, ours) / spread(`  ${theirs.name}`, theirs.took)
  console.log(`  ratio ${ratio.toFixed(2)} (bound ${bound}: ${ratio <= bound ? "holds" : "MISSED"})`)
}

/** Whether `values` stay within a goal that is no ratio, in milliseconds. */
export function goal(what: string, values: readonly number[], p50: number, p99: number): void {
  const sorted = values.toSorted((a, b) => a - b)
  const holds = median(values) <= p50 && percentile99(sorted) <= p99
  spread(what, values)
  console.log(`  goal p50 ${p50} ms, p99 ${p99} ms: ${holds ? "holds" : "MISSED"}`)
}

/** Milliseconds of `work`. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** One line: a value, and the most that the project allows itself. */
export function bound(what: string, value: number, most: number, unit: string): void {
  console.log(`${what}: ${value.toFixed(1)} ${unit} (bound ${most}: ${value <= most ? "holds" : "MISSED"})`)
}

/** Does it once, and again until so many seconds are over; how often. */
export async function again(seconds: number, work: () => Promise<void>): Promise<number> {
  const end = performance.now() + seconds * 1000
  let times = 0
  do {
    await work()
    times++
  } while (performance.now() < end)
  return times
}
