/** Milliseconds to the hundredth, which is all that is told of them. */
export function rounded(ms: number): number {
  return Math.round(ms * 100) / 100
}
