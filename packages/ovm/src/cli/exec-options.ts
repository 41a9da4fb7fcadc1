import type { Command } from "commander"
import { OvmError } from "../errors.ts"
import type { ExecEnd, ExecRequest, MainCommand } from "../runtime/interfaces.ts"
import { endWith, printFailure } from "./failure.ts"
import type { Inside } from "./inside.ts"
import { isClosedPipe, isTerminal, printError } from "./output.ts"
import { parseCount } from "./size.ts"

/**
 * Of this program, as Docker has it; of a command whose time was over, as timeout(1) has it; and of one whose output
 * nobody reads any more, which is ended as SIGPIPE would have ended it.
 */
const OURS = 125
const TIMED_OUT = 124
const UNREAD = 141
/** The most that a client may wait, in s (spec/api/openapi.yaml). */
const MOST_WAIT = 600

/** What is said of a command inside a machine. */
export interface ExecOptions {
  readonly interactive?: boolean
  readonly tty?: boolean
  readonly user?: string
  readonly workdir?: string
  readonly env?: readonly string[]
  readonly timeout?: number
  readonly wait?: number
}

/** Exit statuses of a command inside, for a description. */
export const STATUSES =
  "that of the command, or 128 and the number of the signal that ended it; 124 its time was over, 125 ovm failed, " +
  "126 it cannot be run, 127 it is not there."

/** `usualWait`: how long an agent is waited for, in words. */
export function defineExecOptions(command: Command, usualWait: string): Command {
  command
    .option("-i, --interactive", "have the command read standard input")
    .option("-t, --tty", "give it a terminal")
  return defineCommandOptions(command, { usualWait })
}

/** Those that need nobody beside the command. Times are in words, in s. */
export function defineCommandOptions(
  command: Command,
  { usualWait, usualTimeout }: { readonly usualWait: string; readonly usualTimeout?: string },
): Command {
  const usually = usualTimeout === undefined ? "" : `; ${usualTimeout} unless told`
  return command
    .option("-u, --user <user[:group]>", "run it as this user of the guest, by name or number")
    .option("-w, --workdir <folder>", "where it begins")
    .option(
      "-e, --env <name=value>",
      "a variable of its environment, by name alone that of this one; may be given again",
      collectVariable,
    )
    .option("--timeout <seconds>", `kill it after that long${usually}`, (text) =>
      parseCount(text, "--timeout", 1, 2_000_000),
    )
    .option(
      "--wait <seconds>",
      `how long a guest that boots is waited for; ${usualWait} unless told`,
      (text) => parseCount(text, "--wait", 0, MOST_WAIT),
    )
}

/** Throws OVM_USAGE for a terminal that there is not. */
export function insideBy({ interactive: input = false, tty: terminal = false }: ExecOptions): Inside {
  if (input && terminal && !isTerminal("stdin"))
    throw new OvmError("OVM_USAGE", "standard input is not a terminal", { hint: "without -t" })
  return { input, terminal }
}

export function execRequest(
  command: readonly string[],
  { user, workdir, env, timeout, wait }: ExecOptions,
): ExecRequest {
  return {
    command: [...command],
    ...(user !== undefined && { user }),
    ...(workdir !== undefined && { directory: workdir }),
    ...(env && { environment: [...env] }),
    ...(timeout !== undefined && { timeout_ms: timeout * 1000 }),
    ...(wait !== undefined && { wait_ms: wait * 1000 }),
  }
}

/** Of a command that nobody waits for. Throws OVM_USAGE for what is said of one that somebody does. */
export function mainCommand(words: readonly string[], options: ExecOptions): MainCommand {
  const { interactive, tty, timeout, wait } = options
  const waited = { "--interactive": interactive, "--tty": tty, "--timeout": timeout, "--wait": wait }
  const [option] = Object.entries(waited).find(([, value]) => value !== undefined) ?? []
  if (option !== undefined)
    throw new OvmError(
      "OVM_USAGE",
      `option '${option}' is of a command that is waited for, and '--detach' is not`,
    )
  const { command, environment, user, directory } = execRequest(words, options)
  return {
    command,
    ...(environment && { environment }),
    ...(user !== undefined && { user }),
    ...(directory !== undefined && { directory }),
  }
}

/** Ends this program as the command inside has ended. */
export async function endAsInside(
  work: () => Promise<Pick<ExecEnd, "exit_code" | "timed_out">>,
  { timeout, json = false }: Pick<ExecOptions, "timeout"> & { readonly json?: boolean },
): Promise<never> {
  try {
    const end = await work()
    if (!end.timed_out) endWith(end.exit_code)
    printError(`the command was killed after ${timeout} s\n`)
  } catch (thrown) {
    if (isClosedPipe(thrown)) endWith(UNREAD)
    const status = printFailure(thrown, json)
    endWith(thrown instanceof OvmError ? OURS : status)
  }
  endWith(TIMED_OUT)
}

function collectVariable(text: string, before: readonly string[] = []): readonly string[] {
  if (text === "" || text.startsWith("="))
    throw new OvmError("OVM_USAGE", `--env: ${JSON.stringify(text)} is not NAME=VALUE`)
  const named = text.includes("=") ? text : process.env[text] !== undefined && `${text}=${process.env[text]}`
  return named ? [...before, named] : before
}
