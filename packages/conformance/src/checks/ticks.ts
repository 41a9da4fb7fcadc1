/** The highest number that the suite's guest has counted to. */
export function ticks(text: string): number {
  return Math.max(0, ...[...text.matchAll(/TICK (\d+)\r?\n/g)].map(([, n]) => Number(n)))
}
