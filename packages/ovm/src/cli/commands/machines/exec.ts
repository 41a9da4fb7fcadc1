import type { Command } from "commander"
import { OvmError } from "../../../errors.ts"
import type { ExecRequest } from "../../../runtime/interfaces.ts"
import { endWith, printFailure } from "../../failure.ts"
import { type Inside, runInside } from "../../inside.ts"
import { findInstance } from "../../instances.ts"
import { isTerminal, printError } from "../../output.ts"
import { parseCount } from "../../size.ts"
import { examples } from "../../terminal/examples.ts"

/** Of this program, as Docker has it; and of a command whose time was over, as timeout(1) has it. */
const OURS = 125
const TIMED_OUT = 124

interface ExecOptions {
  readonly interactive?: boolean
  readonly tty?: boolean
  readonly user?: string
  readonly workdir?: string
  readonly env?: readonly string[]
  readonly timeout?: number
}

export function define(command: Command): void {
  command
    .description(
      "Run a command inside a machine that was started with --agent, as root and in / unless told otherwise. Its " +
        "output and errors are this command's; a Ctrl-C is passed on to it, and the second one kills it.\n" +
        "Exit status: that of the command, or 128 and the number of the signal that ended it; 124 its time was " +
        "over, 125 ovm failed, 126 it cannot be run, 127 it is not there.",
    )
    .argument("<instance>", "id, start of an id, or name")
    .argument("<command...>", "the program and its arguments")
    .option("-i, --interactive", "have it read standard input")
    .option("-t, --tty", "give it a terminal")
    .option("-u, --user <user[:group]>", "run it as this user of the guest, by name or number")
    .option("-w, --workdir <folder>", "where it begins")
    .option(
      "-e, --env <name=value>",
      "a variable of its environment, by name alone that of this one; may be given again",
      collectVariable,
    )
    .addOption(
      command
        .createOption("--timeout <seconds>", "kill it after that long")
        .argParser((text) => parseCount(text, "--timeout", 1, 2_000_000)),
    )
    .passThroughOptions()
    .action(run)
  examples(
    command,
    "ovm exec web uname -r",
    "ovm exec -it web sh",
    "ovm exec -i web sh -c 'cat > /etc/motd' <motd",
  )
}

async function run(text: string, words: readonly string[], options: ExecOptions): Promise<void> {
  const { interactive: input = false, tty: terminal = false, timeout } = options
  try {
    if (input && terminal && !isTerminal("stdin"))
      throw new OvmError("OVM_USAGE", "standard input is not a terminal", { hint: "without -t" })
    const end = await insideOf(text, requestOf(words, options), { input, terminal })
    if (!end.timed_out) endWith(end.exit_code)
    printError(`the command was killed after ${timeout} s\n`)
  } catch (thrown) {
    const status = printFailure(thrown)
    endWith(thrown instanceof OvmError ? OURS : status)
  }
  endWith(TIMED_OUT)
}

/** Runs it in the machine that `text` means. */
export async function insideOf(text: string, request: ExecRequest, how: Inside) {
  const { runtime, instance } = await findInstance(text)
  return await runInside(runtime, instance.instance_id, request, how)
}

/** A `--` before the command is taken away, as by kubectl: it separates what is not mixed up here anyway. */
function requestOf(words: readonly string[], { user, workdir, env, timeout }: ExecOptions): ExecRequest {
  const command = words[0] === "--" ? words.slice(1) : [...words]
  if (command.length === 0) throw new OvmError("OVM_USAGE", "there is no command after --")
  return {
    command,
    ...(user !== undefined && { user }),
    ...(workdir !== undefined && { directory: workdir }),
    ...(env && { environment: [...env] }),
    ...(timeout !== undefined && { timeout_ms: timeout * 1000 }),
  }
}

function collectVariable(text: string, before: readonly string[] = []): readonly string[] {
  if (text === "" || text.startsWith("="))
    throw new OvmError("OVM_USAGE", `--env: ${JSON.stringify(text)} is not NAME=VALUE`)
  const named = text.includes("=") ? text : process.env[text] !== undefined && `${text}=${process.env[text]}`
  return named ? [...before, named] : before
}
