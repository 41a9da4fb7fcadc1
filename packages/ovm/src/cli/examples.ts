import type { Command } from "commander"

/** The examples at the end of a command's help: command lines, or remarks that start with `#`. */
export function examples(command: Command, ...lines: readonly string[]): void {
  const shown = lines.map((line) => (line.startsWith("#") ? `  ${line}` : `  $ ${line}`))
  command.addHelpText("after", `\nExamples:\n${shown.join("\n")}`)
}
