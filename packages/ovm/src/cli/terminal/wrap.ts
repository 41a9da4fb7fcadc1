import { widthOf } from "./columns.ts"

/** Of the later lines of a command, in columns. */
const INDENT = 2

/**
 * `text` in lines of at most `columns`, broken at blanks; a longer word has a line to itself. Its own line breaks
 * stay.
 */
export function wrapText(text: string, columns: number): string[] {
  return text.split("\n").flatMap((line) => fill(line.split(/\s+/), columns, 0))
}

/**
 * A line of shell in lines of at most `columns`, as it can be typed: broken at blanks outside of quotes, with a
 * backslash before each break. The lines after the first are indented by two.
 */
export function wrapCommand(line: string, columns: number): string[] {
  if (widthOf(line) <= columns) return [line]
  const most = columns - " \\".length
  const words = line.match(/(?:'[^']*'|"[^"]*"|\S)+/g) ?? []
  const lines = fill(withValues(words, most - INDENT), most, INDENT)
  return lines.map(
    (one, at) => `${" ".repeat(at > 0 ? INDENT : 0)}${one}${at < lines.length - 1 ? " \\" : ""}`,
  )
}

/** An option and what stands behind it as one word, where both fit on a line. */
function withValues(words: readonly string[], columns: number): string[] {
  const joined: string[] = []
  for (const word of words) {
    const before = joined.at(-1)
    const both = `${before} ${word}`
    if (before && /^-\S*$/.test(before) && !word.startsWith("-") && widthOf(both) <= columns)
      joined[joined.length - 1] = both
    else joined.push(word)
  }
  return joined
}

/** Words as lines; those after the first are to be `indent` shorter. */
function fill(words: readonly string[], columns: number, indent: number): string[] {
  const lines: string[] = []
  let line = ""
  for (const word of words) {
    const longer = line === "" ? word : `${line} ${word}`
    if (line === "" || widthOf(longer) <= columns - (lines.length > 0 ? indent : 0)) line = longer
    else {
      lines.push(line)
      line = word
    }
  }
  return [...lines, line]
}
