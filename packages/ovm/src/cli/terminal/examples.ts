import type { Command } from "commander"
import { columnsOf, USUAL_COLUMNS } from "./columns.ts"
import { wrapCommand, wrapText } from "./wrap.ts"

/** The examples at the end of a command's help: command lines, or remarks that start with `#`. */
export function examples(command: Command, ...lines: readonly string[]): void {
  command.addHelpText("after", () => {
    const columns = columnsOf("stdout") ?? USUAL_COLUMNS
    return ["", "Examples:", ...lines.flatMap((line) => shown(line, columns))].join("\n")
  })
}

function shown(line: string, columns: number): string[] {
  if (line.startsWith("# ")) return wrapText(line.slice(2), columns - 4).map((text) => `  # ${text}`)
  return wrapCommand(line, columns - 4).map((text, at) => (at === 0 ? `  $ ${text}` : `    ${text}`))
}
