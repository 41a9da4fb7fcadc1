/**
 * Of one part of a path: `*`, `?`, `[a-z]` and what a backslash is before, as Go's filepath.Match has them; `**` is any
 * number of parts. Undefined for a pattern that is none.
 */
export function patternOf(glob: string): RegExp | undefined {
  let made = ""
  for (let at = 0; at < glob.length; at++) {
    const character = glob[at] as string
    if (glob.startsWith("**/", at)) {
      made += "(?:.*/)?"
      at += 2
    } else if (glob.startsWith("**", at)) {
      made += ".*"
      at++
    } else if (character === "*") made += "[^/]*"
    else if (character === "?") made += "[^/]"
    else if (character === "[") {
      const end = glob.indexOf("]", at + 2)
      if (end < 0) return undefined
      made += setOf(glob.slice(at + 1, end))
      at = end
    } else if (character === "\\" && at + 1 < glob.length) made += literal(glob[++at] as string)
    else made += literal(character)
  }
  try {
    return new RegExp(`^${made}$`, "su")
  } catch {
    return undefined
  }
}

/** Whether it is a pattern and no plain name. */
export function isPattern(text: string): boolean {
  return /[*?[\\]/.test(text)
}

function setOf(text: string): string {
  const not = text.startsWith("^")
  return `[${not ? "^/" : ""}${text.slice(not ? 1 : 0).replace(/[\\\]^[&~|]/g, "\\$&")}]`
}

function literal(character: string): string {
  return /[\^$.*+?()[\]{}|\\/]/.test(character) ? `\\${character}` : character
}
