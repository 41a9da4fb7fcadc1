import { print, printable } from "../output.ts"
import { columnsOf, padTo, widthOf } from "./columns.ts"
import { cut } from "./fit.ts"

/** Blanks between two columns. */
const GAP = 2

/** A column of a table, and what becomes of it on a terminal that is too narrow for the whole. */
export interface Column {
  readonly heading: string
  /** Cells may be cut to this many columns of the terminal; unless said, they are never cut. */
  readonly least?: number
  /** Which end of a cell stays that is cut; the start unless said. */
  readonly keep?: "start" | "end"
  /** It is left out where cutting is not enough: that of the highest number first, one without a number never. */
  readonly spare?: number
}

/** A column with its cells, the heading first. */
interface Filled extends Column {
  readonly cells: readonly string[]
  /** In columns of the terminal: as wide as its widest cell, and as narrow as it may get. */
  readonly width: number
  readonly least: number
}

/** Prints rows under a heading, one line each: within the terminal's width, and whole where there is no terminal. */
export function printTable(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  print(table(columns, rows, columnsOf("stdout")))
}

/**
 * Rows under a heading, in columns two blanks apart and lines of at most `room` columns of the terminal. Cells are
 * text of others and are made printable here.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  room = Number.POSITIVE_INFINITY,
): string {
  const filled = columns.map((column, at) =>
    fill(column, [column.heading, ...rows.map((row) => printable(row[at] ?? ""))]),
  )
  const shown = narrowed(chosen(filled, room), room)
  const lines = Array.from({ length: rows.length + 1 }, (_, line) =>
    shown
      .map(({ cells, width, keep }) => padTo(cut(cells[line] ?? "", width, keep), width))
      .join(" ".repeat(GAP)),
  )
  return lines.map((line) => `${cut(line.trimEnd(), room)}\n`).join("")
}

function fill(column: Column, cells: readonly string[]): Filled {
  const width = Math.max(...cells.map(widthOf))
  return {
    ...column,
    cells,
    width,
    least: Math.max(widthOf(column.heading), Math.min(width, column.least ?? width)),
  }
}

/** Those that fit beside each other, however much they are cut. */
function chosen(columns: readonly Filled[], room: number): readonly Filled[] {
  if (total(columns.map(({ least }) => least)) <= room) return columns
  const spare = Math.max(0, ...columns.map((column) => column.spare ?? 0))
  return spare === 0
    ? columns
    : chosen(
        columns.filter((column) => column.spare !== spare),
        room,
      )
}

/** `columns` with the widest of them made narrower, again and again, until they fit. */
function narrowed(columns: readonly Filled[], room: number): readonly Filled[] {
  const widths = columns.map(({ width }) => width)
  for (let over = total(widths) - room; over > 0; over--) {
    const spare = columns.flatMap(({ least }, at) => ((widths[at] ?? 0) > least ? [at] : []))
    const [first, ...others] = spare
    if (first === undefined) break
    const widest = others.reduce((best, at) => ((widths[at] ?? 0) > (widths[best] ?? 0) ? at : best), first)
    widths[widest] = (widths[widest] ?? 0) - 1
  }
  return columns.map((column, at) => ({ ...column, width: widths[at] ?? 0 }))
}

function total(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) + GAP * Math.max(0, widths.length - 1)
}
