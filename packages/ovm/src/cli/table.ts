import { printable } from "./output.ts"

/**
 * Rows under a heading, in columns as wide as their widest cell and two spaces apart. Cells are text of others and are made
 * printable here.
 */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows.map((row) => row.map(printable))]
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => width(line[column] ?? ""))))
  return lines
    .map((line) => `${line.map((cell, column) => pad(cell, widths[column] ?? 0)).join("  ")}`.trimEnd())
    .join("\n")
    .concat("\n")
}

/** Names and values, one pair a line; pairs without a value are left out. */
export function listing(pairs: readonly (readonly [name: string, value: string | undefined])[]): string {
  const present = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined)
  const widest = Math.max(0, ...present.map(([name]) => width(name)))
  return present.map(([name, value]) => `${pad(name, widest)}  ${printable(value)}\n`).join("")
}

function pad(text: string, to: number): string {
  return text + " ".repeat(Math.max(0, to - width(text)))
}

/** Code points, which is what a terminal shows for the names that occur here. */
function width(text: string): number {
  return [...text].length
}
