/** Names, each behind those that it needs; or the names of a circle, the first one again at its end. */
export type Ordered = { readonly order: readonly string[] } | { readonly cycle: readonly string[] }

/** Puts the keys of `needs` in order; what they need that is no key itself is passed over. */
export function inOrder(needs: ReadonlyMap<string, Iterable<string>>): Ordered {
  const order: string[] = []
  const path: string[] = []
  const visit = (name: string): readonly string[] | undefined => {
    if (order.includes(name) || !needs.has(name)) return undefined
    const at = path.indexOf(name)
    if (at >= 0) return [...path.slice(at), name]
    path.push(name)
    for (const other of needs.get(name) ?? []) {
      const cycle = visit(other)
      if (cycle) return cycle
    }
    path.pop()
    order.push(name)
    return undefined
  }
  for (const name of needs.keys()) {
    const cycle = visit(name)
    if (cycle) return { cycle }
  }
  return { order }
}
