import { Command, CommanderError } from "commander"
import { OvmError } from "../errors.ts"
import { VERSION } from "../version.ts"
import { COMMANDS, type CommandEntry } from "./commands.ts"
import { printFailure } from "./failure.ts"
import { isClosedPipe, print } from "./output.ts"

const INTRODUCTION = "Build, move and run whole machines as OCI artifacts."

const MORE = `
Examples:
  $ ovm run registry.example.com/machines/debian:13
  $ ovm pack --kernel vmlinuz --initrd initrd.img --layer base.qcow2 --args console=ttyS0 -t debian
  $ ovm COMMAND --help

State lives under $OVM_HOME, or where \`ovm info\` says.`

/**
 * Runs one command line. Never throws: every error is printed on standard error as `error: CODE: message`, or with
 * `--json` as `{"errors":[…]}`.
 * @returns the exit status (spec/errors.md)
 */
export async function execute(argv: readonly string[]): Promise<number> {
  // Whoever masks the owner's own bits could not read what this makes, nor remove it. What is private says so itself.
  process.umask(process.umask() & 0o077)
  const json = wantsJson(argv)
  try {
    const program = await programFor(argv)
    await program.parseAsync(argv.length === 0 ? ["--help"] : argv, { from: "user" })
    return 0
  } catch (thrown) {
    if (thrown instanceof CommanderError) {
      if (thrown.exitCode === 0 || thrown.code === "commander.help") return 0
      return printFailure(usageError(thrown, argv), json)
    }
    // Whoever read our output has gone (`ovm logs ID | head`): there is nobody left to tell.
    if (isClosedPipe(thrown)) return 0
    return printFailure(thrown, json)
  }
}

/** True also where the command line is wrong: whoever wrote --json into it reads JSON. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--")
  return argv.slice(0, end < 0 ? argv.length : end).includes("--json")
}

/** The command that `argv` names, with its options; beside it all others by name and summary, where they may be shown. */
async function programFor(argv: readonly string[]): Promise<Command> {
  const program = new Command("ovm")
    .description(INTRODUCTION)
    .usage("COMMAND [options]")
    .version(`ovm ${VERSION}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .commandsGroup("Program:")
    .helpCommand("help [command]", "Show the help of a command")
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => {} })
    .addHelpText("after", MORE)
  const named = find(argv[0] === "help" ? argv[1] : argv[0])
  for (const entry of named ? [named] : COMMANDS) {
    program
      .command(entry.name, { hidden: entry.hidden === true })
      .summary(entry.summary)
      .description(`${entry.summary}.`)
      .helpGroup(entry.group)
  }
  const [command] = program.commands
  if (named && command) (await named.load()).define(command)
  return program
}

function find(name: string | undefined): CommandEntry | undefined {
  return COMMANDS.find((entry) => entry.name === name)
}

/** Commander's words, without its `error:` and with its suggestion as the hint. */
function usageError(thrown: CommanderError, argv: readonly string[]): OvmError {
  const name = find(argv[0])?.name
  const [message = "", suggestion] = thrown.message.replace(/^error: /, "").split("\n")
  const help = name ? `ovm ${name} --help` : "ovm --help"
  const hint = suggestion ? `${suggestion.replace(/^\(|\)$/g, "")} See: ${help}` : help
  return new OvmError("OVM_USAGE", message, { cause: thrown, hint })
}
