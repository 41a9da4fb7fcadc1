import { fail, skip } from "../check.ts"
import { codes } from "../errors.ts"
import type { Peak } from "./memory.ts"
import { type Output, runProgram } from "./program.ts"
import { shellWord } from "./shell-word.ts"

/** What a wrapper ends with that does not do what it was asked for: EX_UNAVAILABLE of sysexits.h. */
const UNAVAILABLE = 69

/** What a shell ends with that does not find a program. */
const NOT_FOUND = 127

/** How long one call may take; one that builds starts machines. */
const CALL_MS = 30_000
const BUILD_MS = 250_000

/** What an implementation may do without. */
export type Optional =
  | "import"
  | "export"
  | "build"
  | "sign-legacy"
  | "key"
  | "verify-identity"
  | "discover"
  | "index"
  | "prune"
  | "copy"
  | "remove"
  | "run"
  | "keep"
export type Verb = "pack" | "push" | "pull" | "validate" | "inspect" | "verify" | "sign" | Optional

/** These write disks with holes, which are larger than what is in them. */
const SPARSE: ReadonlySet<Verb> = new Set(["import", "export", "build"])

/** How one call went: done, or refused with a code of spec/errors.json. */
export interface Answer {
  readonly code?: string
  readonly stdout: string
  readonly stderr: string
  readonly peak: Peak
}

export interface WrapperCall {
  readonly folder: string
  readonly signal: AbortSignal
  /** Variables besides those that every call has. */
  readonly env?: Readonly<Record<string, string>>
  /** Words of a command that the wrapper is run by. */
  readonly by?: readonly string[]
  /** How long a file may become that it writes. */
  readonly fileBytes?: number
  /** Its memory is looked at while it runs. */
  readonly measured?: boolean
}

/** A reader and writer behind the executable that spec/conformance.md describes. */
export class Wrapper {
  constructor(
    private readonly program: string,
    /** Path of a layout with a Linux, where the suite was given one. */
    readonly linux?: string,
  ) {}

  /**
   * Has it do `verb`. Skips if it does not do that; fails if it says nothing sensible.
   */
  async call(verb: Verb, args: readonly string[], call: WrapperCall): Promise<Answer> {
    return answerOf(verb, await this.ended(verb, args, call))
  }

  /** The same on a terminal: all that comes there. Skips where the host has no script(1). */
  async onTerminal(verb: Verb, args: readonly string[], call: WrapperCall): Promise<string> {
    const line = [this.program, verb, ...args].map(shellWord).join(" ")
    const { status, stdout } = await this.#run(["script", "-qec", line, "/dev/null"], verb, call)
    if (status === NOT_FOUND && stdout === "") skip("this host has no script(1), which makes terminals")
    return stdout
  }

  /** The same, however it ended. */
  async ended(verb: Verb, args: readonly string[], call: WrapperCall): Promise<Output> {
    const output = await this.#run([...(call.by ?? []), this.program, verb, ...args], verb, call)
    if (output.status === UNAVAILABLE)
      skip(`the wrapper does not ${verb}${verb === "validate" ? ` ${args[0]}` : ""}`)
    return output
  }

  #run(command: readonly string[], verb: Verb, call: WrapperCall): Promise<Output> {
    return runProgram(command, {
      cwd: call.folder,
      env: { ...call.env, OVMS_CONFORMANCE_HOME: call.folder },
      limitMs: verb === "build" ? BUILD_MS : CALL_MS,
      sparse: SPARSE.has(verb) && call.fileBytes === undefined,
      ...(call.fileBytes !== undefined && { fileBytes: call.fileBytes }),
      ...(call.measured && { measured: true }),
      signal: call.signal,
    })
  }
}

function answerOf(verb: Verb, output: Output): Answer {
  const { status, stdout, stderr, peak = { resident: 0, reserved: 0 } } = output
  if (status === 0) return { stdout, stderr, peak }
  const code = /\bOVM_[A-Z_]+\b/.exec(stderr)?.[0]
  const said = stderr.trim().slice(0, 300)
  if (code === undefined) fail(`${verb} ended with status ${status} and named no code: ${said || "nothing"}`)
  const known = codes[code]
  if (!known) fail(`${verb} ended with ${code}, which is not a code of spec/errors.json`)
  if (status !== known.exit)
    fail(`${verb} ended with status ${status}; that of ${code} is ${known.exit}: ${said}`)
  return { code, stdout, stderr, peak }
}

/** What a call printed as JSON; fails if it is something else. */
export function jsonOf(text: string, what: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {}
  fail(`${what} printed something else than a JSON object: ${text.trim().slice(0, 200) || "nothing"}`)
}
