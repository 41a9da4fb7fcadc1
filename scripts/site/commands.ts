import type { EventEmitter } from "node:events"
import { Command } from "commander"
import { COMMANDS } from "../../packages/ovm/src/cli/commands.ts"

/** The reference of all commands, in Markdown: a document for each, out of what `ovm COMMAND --help` is made of. */
export async function commandDocuments(): Promise<ReadonlyMap<string, string>> {
  const documents = new Map<string, string>()
  const program = new Command("ovm").enablePositionalOptions()
  for (const entry of COMMANDS) {
    if (entry.hidden) continue
    const command = program.command(entry.name).summary(entry.summary).description(`${entry.summary}.`)
    ;(await entry.load()).define(command, COMMANDS)
    documents.set(entry.name, textOf(command, 1).join("\n"))
  }
  return documents
}

function textOf(command: Command, level: number): string[] {
  const help = command.createHelp()
  const lines = [
    `${"#".repeat(level)} ${nameOf(command)}`,
    "",
    safe(command.description()),
    "",
    "```",
    help.commandUsage(command),
    "```",
  ]
  const args = help
    .visibleArguments(command)
    .map((one) => [help.argumentTerm(one), help.argumentDescription(one)])
  const options = help
    .visibleOptions(command)
    .map((one) => [help.optionTerm(one), help.optionDescription(one)])
  lines.push(...table("argument", args), ...table("option", options))
  const examples = examplesOf(command)
  if (examples !== "") lines.push("", "```console", examples, "```")
  const below = help.visibleCommands(command).filter((one) => one.name() !== "help")
  return [...lines, "", ...below.flatMap((one) => textOf(one, level + 1))]
}

function nameOf(command: Command): string {
  return command.parent ? `${nameOf(command.parent)} ${command.name()}` : command.name()
}

function table(what: string, rows: readonly (readonly (string | undefined)[])[]): string[] {
  if (rows.length === 0) return []
  const cells = rows.map(([term = "", says = ""]) => `| \`${term.replaceAll("|", "\\|")}\` | ${safe(says)} |`)
  return ["", `| ${what} | |`, "| --- | --- |", ...cells]
}

/** What help texts say is no Markdown. */
function safe(text: string): string {
  return text.replace(/[\\*_[\]<>|#]/g, "\\$&").replaceAll("\n", " ")
}

/** Commander gives them out to whoever writes the help. */
function examplesOf(command: Command): string {
  let text = ""
  const write = (part: string) => {
    text += part
  }
  ;(command as unknown as EventEmitter).emit("afterHelp", { error: false, command, write })
  return text
    .split("\n")
    .filter((line) => line.startsWith("  "))
    .map((line) => line.slice(2))
    .join("\n")
    .trimEnd()
}
