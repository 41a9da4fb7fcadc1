import { print, printable } from "../output.ts"
import { columnsOf, padTo, widthOf } from "./columns.ts"
import { fitLine } from "./fit.ts"
import { wrapText } from "./wrap.ts"

/**
 * Prints lines of a tree or a text, which are of others and are made printable here: within the terminal's width,
 * elsewhere whole.
 */
export function printLines(lines: readonly string[]): void {
  const columns = columnsOf("stdout") ?? Number.POSITIVE_INFINITY
  const fitted = lines.map(printable).flatMap((line) => fitLine(line, columns))
  print(fitted.map((line) => `${line}\n`).join(""))
}

/** Prints names and values, one pair a line; on a terminal values that are too long go on below themselves. */
export function printListing(pairs: Pairs): void {
  print(listing(pairs, columnsOf("stdout")))
}

type Pairs = readonly (readonly [name: string, value: string | undefined])[]

/** Names and values; pairs without a value are left out. */
export function listing(pairs: Pairs, columns = Number.POSITIVE_INFINITY): string {
  const present = pairs.filter((pair): pair is [string, string] => pair[1] !== undefined)
  const widest = Math.max(0, ...present.map(([name]) => widthOf(name)))
  const room = Math.max(columns - widest - 2, 20)
  return present
    .flatMap(([name, value]) =>
      valueLines(printable(value), room).map(
        (line, at) => `${padTo(at === 0 ? name : "", widest)}  ${line}\n`,
      ),
    )
    .join("")
}

function valueLines(value: string, room: number): string[] {
  return widthOf(value) <= room ? [value] : wrapText(value, room)
}
