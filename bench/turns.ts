/**
 * Two ways of doing the same thing, measured in turns, so that whatever else the machine does strikes both. Each way returns
 * how long it took, in milliseconds; the first round of each warms caches and is not counted.
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

/** One line: both sides, their ratio, and the bound that the project sets itself. */
export function report(what: string, ours: number, name: string, theirs: number, bound: number): void {
  const ratio = ours / theirs
  const verdict = ratio <= bound ? "holds" : "MISSED"
  console.log(
    `${what}: ${ours.toFixed(1)} ms, ${name}: ${theirs.toFixed(1)} ms, ratio ${ratio.toFixed(2)} (bound ${bound}: ${verdict})`,
  )
}
