import { Refusal } from "./refusal.ts"

/** The most entries that one answer lists, and how many it lists unless told. */
export const PAGE_LIMIT = 1000

export interface Page<T> {
  readonly entries: readonly T[]
  /** The `Link` to the next page, if there is one. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * One page of `sorted` names by the parameters `n` and `last` (distribution-spec: "Listing Tags"). Throws 400
 * UNSUPPORTED.
 */
export function pageOf(sorted: readonly string[], url: URL): Page<string> {
  const limit = pageSize(url)
  const from = after(sorted, url.searchParams.get("last"))
  const entries = sorted.slice(from, from + limit)
  const last = entries.at(-1)
  return { entries, headers: last && from + limit < sorted.length ? nextPage(url, last, limit) : {} }
}

/** Where the entries after `last`, which need not be among them any more, begin. */
export function after(sorted: readonly string[], last: string | null): number {
  if (last === null || last === "") return 0
  const found = sorted.findIndex((name) => name > last)
  return found < 0 ? sorted.length : found
}

export function nextPage(url: URL, last: string, n?: number): Record<string, string> {
  const query = new URLSearchParams(url.search)
  query.set("last", last)
  if (n !== undefined) query.set("n", `${n}`)
  return { Link: `<${url.pathname}?${query}>; rel="next"` }
}

function pageSize(url: URL): number {
  const text = url.searchParams.get("n")
  if (text === null) return PAGE_LIMIT
  if (/^\d{1,15}$/.test(text)) return Math.min(Number(text), PAGE_LIMIT)
  throw new Refusal(400, "UNSUPPORTED", `n is ${JSON.stringify(text.slice(0, 20))}, not a number of entries`)
}
