import { type OvmError, toOvmError } from "../errors.ts"
import { HINTS } from "./hints.ts"
import { isTerminal, printable, printError } from "./output.ts"

/** One fault of a document, as validation reports it in an error's `detail`. */
interface Fault {
  readonly pointer: string
  readonly requirement?: string | undefined
  readonly message: string
}

/** Ends the program with `status` after everything that there was to say has been printed. */
export class Reported extends Error {
  constructor(readonly status: number) {
    super("reported")
  }
}

/**
 * Prints `thrown` on standard error: `error: CODE: message`, the faults of its detail, the hint. Never a stack trace;
 * `OVM_DEBUG=1` adds the causes.
 * @returns the exit status
 */
export function printFailure(thrown: unknown): number {
  if (thrown instanceof Reported) return thrown.status
  const error = toOvmError(thrown)
  const label = isTerminal("stderr") && !process.env.NO_COLOR ? "\x1b[1;31merror:\x1b[0m" : "error:"
  const lines = [`${label} ${error.code}: ${sentences(error.message)}`]
  for (const fault of faultsOf(error)) lines.push(`  ${faultLine(fault)}`)
  const hint = error.hint ?? HINTS[error.code]
  if (hint) lines.push(`hint: ${printable(hint)}`)
  if (process.env.OVM_DEBUG === "1") lines.push(...causes(error))
  try {
    printError(`${lines.join("\n")}\n`)
  } catch {
    // Standard error is closed: the exit status has to say it alone.
  }
  return error.exitStatus
}

/**
 * Does `work` for each of `names`, in order, whatever becomes of the others: each error is printed when it happens.
 * Throws `Reported` with the first exit status if any failed.
 */
export async function forEach(
  names: readonly string[],
  work: (name: string) => Promise<void>,
): Promise<void> {
  const statuses: number[] = []
  for (const name of names) {
    try {
      await work(name)
    } catch (thrown) {
      statuses.push(printFailure(thrown))
    }
  }
  if (statuses[0] !== undefined) throw new Reported(statuses[0])
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
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    yield `cause: ${cause.stack ?? cause.message}`
  }
}
