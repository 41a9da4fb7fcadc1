/** The one of `known` that whoever wrote `text` probably meant; undefined if none is near. */
export function nearest(text: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map((word) => ({ word, away: distance(text.toLowerCase(), word) }))
    .filter(({ word, away }) => away <= Math.max(1, Math.floor(word.length * 0.4)))
    .toSorted((a, b) => a.away - b.away)
  return best?.word
}

/** How many letters have to be put in, taken out, changed, or exchanged with their neighbour. */
function distance(from: string, to: string): number {
  if (from.length > 40) return Number.POSITIVE_INFINITY
  let older: number[] = []
  let before = Array.from({ length: to.length + 1 }, (_, at) => at)
  for (let row = 1; row <= from.length; row++) {
    const now = [row]
    for (let at = 1; at <= to.length; at++) {
      const same = from[row - 1] === to[at - 1] ? 0 : 1
      let least = Math.min((before[at] ?? 0) + 1, (now[at - 1] ?? 0) + 1, (before[at - 1] ?? 0) + same)
      if (row > 1 && at > 1 && from[row - 1] === to[at - 2] && from[row - 2] === to[at - 1])
        least = Math.min(least, (older[at - 2] ?? 0) + 1)
      now.push(least)
    }
    older = before
    before = now
  }
  return before[to.length] ?? 0
}
