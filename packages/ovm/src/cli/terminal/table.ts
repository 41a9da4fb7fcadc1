import { printable } from "../output.ts"
import { padTo, widthOf } from "./columns.ts"

/**
 * Rows under a heading, in columns as wide as their widest cell and two spaces apart. Cells are text of others and are made
 * printable here.
 */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [heading, ...rows.map((row) => row.map(printable))]
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => widthOf(line[column] ?? ""))))
  return lines
    .map((line) => `${line.map((cell, column) => padTo(cell, widths[column] ?? 0)).join("  ")}`.trimEnd())
    .join("\n")
    .concat("\n")
}

/** Names and values, one pair a line; pairs without a value are left out. */
export function listing(pairs: readonly (readonly [name: string, value: string | undefined])[]): string {
  const present = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined)
  const widest = Math.max(0, ...present.map(([name]) => widthOf(name)))
  return present.map(([name, value]) => `${padTo(name, widest)}  ${printable(value)}\n`).join("")
}
