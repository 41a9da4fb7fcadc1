/**
 * Does `work` for the items of `source`, `width` of them at a time, and gives the results in the order of the items.
 */
export async function* ahead<T, R>(
  source: AsyncIterable<T> | Iterable<T>,
  width: number,
  work: (item: T) => Promise<R>,
): AsyncIterable<R> {
  const pending: Promise<R>[] = []
  for await (const item of source) {
    const result = work(item)
    // It is waited for in its turn; until then its failure is nobody's business.
    result.catch(() => {})
    pending.push(result)
    if (pending.length < width) continue
    const first = pending.shift()
    if (first) yield await first
  }
  for (const result of pending) yield await result
}
