import { Command, CommanderError } from "commander"
import { OvmError } from "../errors.ts"
import { VERSION } from "../version.ts"
import type { CommandEntry } from "./command.ts"
import { COMMANDS } from "./commands.ts"
import { printFailure } from "./failure.ts"
import { FOREIGN } from "./foreign.ts"
import { isClosedPipe, print } from "./output.ts"
import { columnsOf, USUAL_COLUMNS } from "./terminal/columns.ts"
import { examples } from "./terminal/examples.ts"
import { HELP_LAYOUT } from "./terminal/help.ts"

const INTRODUCTION = "Build, move and run whole machines as OCI artifacts."

const EXAMPLES = [
  "ovm run registry.example.com/machines/debian:13",
  "ovm pack --kernel vmlinuz --initrd initrd.img --layer base.qcow2 --args console=ttyS0 -t debian",
  "ovm COMMAND --help",
]

const MORE = "\nState lives under $OVM_HOME, or where `ovm info` says."

/**
 * Runs one command line. Never throws: every error is printed on standard error as `error: CODE: message`, or with
 * `--json` as `{"errors":[…]}`.
 * @returns the exit status (spec/errors.md)
 */
export async function execute(argv: readonly string[]): Promise<number> {
  // Whoever masks the owner's own bits could not read what this makes, nor remove it. What is private says so itself.
  process.umask(process.umask() & 0o077)
  const json = wantsJson(argv)
  let program: Command | undefined
  const line = lineOf(argv)
  try {
    program = await programFor(line)
    await program.parseAsync(ofKnown(program, line), { from: "user" })
    return 0
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0 || thrown.code === "commander.help") return 0
      return printFailure(usageError(thrown, program, line), json)
    }
    // Whoever read our output has gone (`ovm logs ID | head`): there is nobody left to tell.
    if (isClosedPipe(thrown)) return 0
    return printFailure(thrown, json)
  }
}

/** `help COMMAND` is `COMMAND --help`, also of a command below another. */
function lineOf(argv: readonly string[]): readonly string[] {
  if (argv.length === 0) return ["--help"]
  const [first, ...rest] = argv
  return first === "help" && rest.length > 0 ? [...rest, "--help"] : argv
}

/**
 * What is no command is that whatever stands behind it, --help too. Throws OVM_USAGE for a word that other tools
 * have.
 */
function ofKnown(program: Command, line: readonly string[]): readonly string[] {
  let command = program
  for (const [at, word] of line.entries()) {
    if (word.startsWith("-") || command.commands.length === 0 || word === "help") return line
    const next = command.commands.find((one) => one.name() === word)
    if (!next) {
      const hint = command === program ? FOREIGN[word] : undefined
      if (hint !== undefined) throw new OvmError("OVM_USAGE", `unknown command '${word}'`, { hint })
      // `ovm port NAME`: what is none of the commands below is an argument of its own.
      if (command.registeredArguments.length > 0) return line
      return line.slice(0, at + 1)
    }
    command = next
  }
  return line
}

/** True also where the command line is wrong: whoever wrote --json into it reads JSON. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--")
  return argv.slice(0, end < 0 ? argv.length : end).includes("--json")
}

/**
 * The command that `argv` names, with its options; beside it all others by name and summary, where they may be shown.
 */
async function programFor(argv: readonly string[]): Promise<Command> {
  const program = new Command("ovm")
    .description(INTRODUCTION)
    .usage("COMMAND [options]")
    .version(`ovm ${VERSION}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .commandsGroup("Program:")
    .helpCommand("help [command]", "Show the help of a command")
    // What stands behind the machine of `ovm ssh` is of the guest.
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: print,
      writeErr: () => {},
      getOutHelpWidth: () => columnsOf("stdout") ?? USUAL_COLUMNS,
    })
    .configureHelp(HELP_LAYOUT)
  examples(program, ...EXAMPLES)
  program.addHelpText("after", MORE)
  const named = find(argv[0])
  for (const entry of named ? [named] : COMMANDS) {
    program
      .command(entry.name, { hidden: entry.hidden === true })
      .summary(entry.summary)
      .description(`${entry.summary}.`)
      .helpGroup(entry.group)
  }
  const [command] = program.commands
  if (named && command) (await named.load()).define(command, COMMANDS)
  return program
}

function find(name: string | undefined): CommandEntry | undefined {
  return COMMANDS.find((entry) => entry.name === name)
}

/** Commander's words, without its `error:` and with its suggestion as the hint. */
function usageError(
  thrown: CommanderError,
  program: Command | undefined,
  [name = "", below = ""]: readonly string[],
): OvmError {
  const command = find(name) && program?.commands[0]
  const [message = "", suggestion] = thrown.message.replace(/^error: /, "").split("\n")
  const words = command?.commands.some((one) => one.name() === below) ? [name, below] : command ? [name] : []
  const help = ["ovm", ...words, "--help"].join(" ")
  const guessed = suggestion !== undefined && !isWild(thrown, name, suggestion)
  const hint = guessed ? `${suggestion.replace(/^\(|\)$/g, "")} See: ${help}` : help
  return new OvmError("OVM_USAGE", message, { cause: thrown, hint })
}

/** Of short words half the letters are soon the same: whoever mistypes a command gets its first letter right. */
function isWild({ code }: CommanderError, name: string, suggestion: string): boolean {
  return code === "commander.unknownCommand" && !suggestion.includes(` ${name.slice(0, 1)}`)
}
