/**
 * One line of what is written over several: without comments and empty lines in between, as Docker reads it. `mark`
 * at the end of a line continues it.
 */
export function joinLines(text: string, mark: string): string {
  const [first = "", ...others] = text.split(/\r?\n/)
  const kept = [first, ...others.filter((line) => line.trim() !== "" && !line.trimStart().startsWith("#"))]
  return kept.map((line) => withoutEscape(line, mark)).join("")
}

function withoutEscape(line: string, mark: string): string {
  const trimmed = line.trimEnd()
  return trimmed.endsWith(mark) ? trimmed.slice(0, -1) : line
}
