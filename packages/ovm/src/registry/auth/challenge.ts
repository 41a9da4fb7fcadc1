/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1). Scheme and names are in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
const PARAMETER = /\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*/y
const LIMIT = 8192

/** The challenges of a header, in order; what cannot be understood ends the list. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, LIMIT)
  const challenges: Challenge[] = []
  let at = 0
  const take = (pattern: RegExp) => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (match) at = pattern.lastIndex
    return match
  }
  while (at < text.length) {
    take(/[\s,]*/y)
    const scheme = take(TOKEN)?.[0]
    if (!scheme) break
    const parameters: Record<string, string> = Object.create(null)
    for (let match = take(PARAMETER); match; match = take(PARAMETER)) {
      const [, name = "", quoted, bare = ""] = match
      parameters[name.toLowerCase()] ??= quoted === undefined ? bare : quoted.replace(/\\(.)/g, "$1")
      // A comma separates parameters and challenges alike: only a name with `=` after it goes on with this one.
      const comma = at
      if (!take(/,[\s,]*/y)) break
      PARAMETER.lastIndex = at
      if (!PARAMETER.test(text)) {
        at = comma
        break
      }
    }
    challenges.push({ scheme: scheme.toLowerCase(), parameters })
  }
  return challenges
}
