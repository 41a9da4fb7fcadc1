import { isObject } from "../objects.ts"

/** A place in two documents where they say different things. */
export interface Disagreement {
  /** JSON pointer (RFC 6901). */
  readonly pointer: string
  /** Absent where it is not there. */
  readonly from?: unknown
  readonly to?: unknown
}

/** Every place where two JSON values differ, as deep down as both have objects or arrays there. */
export function disagreements(from: unknown, to: unknown, pointer = ""): readonly Disagreement[] {
  const [a, b] = [membersOf(from), membersOf(to)]
  if (!a || !b || Array.isArray(from) !== Array.isArray(to))
    return Bun.deepEquals(from, to)
      ? []
      : [{ pointer, ...(from !== undefined && { from }), ...(to !== undefined && { to }) }]
  const names = [...new Set([...Object.keys(a), ...Object.keys(b)])]
  return (Array.isArray(from) ? names : names.sort()).flatMap((name) =>
    disagreements(a[name], b[name], `${pointer}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`),
  )
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (Array.isArray(value)) return Object.fromEntries(value.entries())
  return isObject(value) ? value : undefined
}
