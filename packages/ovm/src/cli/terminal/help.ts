import type { Command, HelpConfiguration } from "commander"
import { columnsOf, padTo, USUAL_COLUMNS, widthOf } from "./columns.ts"
import { wrapText } from "./wrap.ts"

/** No narrower than this, in columns: help that is wrapped further cannot be read any more. */
const NARROWEST = 40

/**
 * How help is laid out: what there is on the left, what it means on the right, which has two thirds of the width at
 * least. What is too long for the left has a line to itself.
 */
export const HELP_LAYOUT: HelpConfiguration = {
  minWidthToWrap: NARROWEST,
  padWidth(command, helper) {
    const longest = Math.max(
      helper.longestOptionTermLength(command, helper),
      helper.longestSubcommandTermLength(command, helper),
      helper.longestArgumentTermLength(command, helper),
    )
    return leftOf(longest, helper.helpWidth ?? USUAL_COLUMNS)
  },
  formatItem(term, left, description, helper) {
    return item(term, left, description, helper.helpWidth ?? USUAL_COLUMNS)
  },
  boxWrap(text, width) {
    return wrapText(text, Math.max(width, NARROWEST)).join("\n")
  },
}

/** One option, argument or command. `left`: columns of what it is called; `columns`: those of the terminal. */
function item(term: string, left: number, description: string, columns: number): string {
  const lines = wrapText(description, Math.max(columns - left - 4, NARROWEST / 2))
  const first = widthOf(term) > left ? [`  ${term}`] : [`  ${padTo(term, left)}  ${lines.shift()}`.trimEnd()]
  return [...first, ...lines.map((line) => `${" ".repeat(left + 4)}${line}`)].join("\n")
}

/** A part at the end of a command's help: what something may look like, and what it means then. */
export function helpSection(
  command: Command,
  title: string,
  items: readonly (readonly [term: string, description: string])[],
): void {
  command.addHelpText("after", () => {
    const columns = columnsOf("stdout") ?? USUAL_COLUMNS
    const left = leftOf(Math.max(...items.map(([term]) => widthOf(term))), columns)
    return ["", title, ...items.map(([term, description]) => item(term, left, description, columns))].join(
      "\n",
    )
  })
}

function leftOf(longest: number, columns: number): number {
  return Math.min(longest, Math.floor(columns / 3))
}
