import { OvmError, toOvmError } from "../errors.ts"
import { HINTS } from "./hints.ts"
import { isTerminal, jsonText, printable, printError } from "./output.ts"

/** One fault of a document, as validation reports it in an error's `detail`. */
interface Fault {
  readonly pointer: string
  readonly requirement?: string | undefined
  readonly message: string
}

/** Ends the program with `status` once everything that there was to say has been printed. */
class Reported extends Error {
  constructor(readonly status: number) {
    super("reported")
  }
}

/** What several things failed with that were asked for at once; each is for the one line that programs read. */
class Several extends Error {
  constructor(readonly errors: readonly [OvmError, ...OvmError[]]) {
    super("several")
  }
}

/**
 * Prints `thrown` on standard error: `error: CODE: message`, the faults of its detail, the hint; or with `json` one
 * line as the runtime API answers (spec/errors.md), with the hint. Never a stack trace; `OVM_DEBUG=1` adds the
 * causes.
 * @returns the exit status
 */
export function printFailure(thrown: unknown, json = false): number {
  if (thrown instanceof Reported) return thrown.status
  const errors = thrown instanceof Several ? thrown.errors : ([toOvmError(thrown)] as const)
  const lines = json ? jsonLines(errors) : errors.flatMap(textLines)
  printError(`${lines.join("\n")}\n`)
  return errors[0].exitStatus
}

function textLines(error: OvmError): string[] {
  const label = isTerminal("stderr") && !process.env.NO_COLOR ? "\x1b[1;31merror:\x1b[0m" : "error:"
  const lines = [`${label} ${error.code}: ${sentences(error.message)}`]
  for (const fault of faultsOf(error)) lines.push(`  ${faultLine(fault)}`)
  const hint = hintOf(error)
  if (hint) lines.push(`hint: ${printable(hint)}`)
  return [...lines, ...causes(error)]
}

/** Remarks may stand before it: the last line is the errors. */
function jsonLines(all: readonly OvmError[]): string[] {
  const errors = all.map((error) => {
    const { code, message, detail } = error
    return { code, message, detail, hint: hintOf(error) }
  })
  return [...all.flatMap((error) => [...causes(error)]), jsonText({ errors })]
}

function hintOf({ hint, code }: OvmError): string | undefined {
  return hint ?? HINTS[code]
}

/**
 * Does `work` for each of `names`, in order, whatever becomes of the others: each error is printed when it happens,
 * or with `json` all at the end. Throws if any failed, and the first one's exit status counts.
 */
export async function forEach(
  names: readonly string[],
  work: (name: string) => Promise<void>,
  { json = false }: { readonly json?: boolean },
): Promise<void> {
  const errors: OvmError[] = []
  const statuses: number[] = []
  for (const name of names) {
    try {
      await work(name)
    } catch (thrown) {
      const told = thrown instanceof Reported ? thrown : toOvmError(thrown)
      if (!json) printFailure(thrown)
      else if (told instanceof OvmError) errors.push(told)
      statuses.push(told instanceof Reported ? told.status : told.exitStatus)
    }
  }
  const [first, ...others] = errors
  const [status] = statuses
  if (first) throw new Several([first, ...others])
  if (status !== undefined) throw new Reported(status)
}

/** Ends the command with `status`: whatever there was to say has been printed. */
export function endWith(status: number): never {
  throw new Reported(status)
}

/** All faults of a document; none where there is only one, which the message tells already. */
function faultsOf(error: OvmError): readonly Fault[] {
  const faults = Array.isArray(error.detail) ? error.detail.filter(isFault) : []
  return faults.length > 1 ? faults : []
}

function isFault(value: unknown): value is Fault {
  const fault = value as Partial<Fault> | null
  return typeof fault?.pointer === "string" && typeof fault.message === "string"
}

/** Where it is, which requirement it breaks, what is wrong. */
export function faultLine({ pointer, requirement, message }: Fault): string {
  const parts = [pointer === "" ? "(document)" : pointer, requirement, message]
  return parts
    .filter((part) => part !== undefined)
    .map(printable)
    .join("  ")
}

/** Messages may quote several lines of a VMM: the others are indented below the first. */
function sentences(message: string): string {
  return message.trimEnd().split("\n").map(printable).join("\n  ")
}

function* causes(error: OvmError): Generator<string> {
  if (process.env.OVM_DEBUG !== "1") return
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    yield `cause: ${cause.stack ?? cause.message}`
  }
}
