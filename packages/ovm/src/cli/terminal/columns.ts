import { isTerminal } from "../output.ts"

/** What is taken where there is no telling, in columns. */
export const USUAL_COLUMNS = 80

/** How many columns the terminal has that `stream` is; undefined where it is none, so that nothing has to fit. */
export function columnsOf(stream: "stdout" | "stderr"): number | undefined {
  if (!isTerminal(stream)) return undefined
  // A serial line does not say.
  return process[stream].columns || USUAL_COLUMNS
}

/** Columns that `text` takes: code points, which is what a terminal shows for the names that occur here. */
export function widthOf(text: string): number {
  return [...text].length
}

/** `text` and blanks behind it, to be `columns` wide. */
export function padTo(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - widthOf(text)))
}
