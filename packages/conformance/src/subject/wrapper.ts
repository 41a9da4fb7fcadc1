import { fail, skip } from "../check.ts"
import { codes } from "../errors.ts"
import { type Output, runProgram } from "./program.ts"

/** What a wrapper ends with that does not do what it was asked for: EX_UNAVAILABLE of sysexits.h. */
const UNAVAILABLE = 69

/** How long one call may take; one that builds starts machines. */
const CALL_MS = 30_000
const BUILD_MS = 110_000

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
  | "copy"
  | "keep"
export type Verb = "pack" | "push" | "pull" | "validate" | "inspect" | "verify" | "sign" | Optional

/** These write disks with holes, which are larger than what is in them. */
const SPARSE: ReadonlySet<Verb> = new Set(["import", "export", "build"])

/** How one call went: done, or refused with a code of spec/errors.json. */
export interface Answer {
  readonly code?: string
  readonly stdout: string
  readonly stderr: string
}

export interface WrapperCall {
  readonly folder: string
  readonly signal: AbortSignal
  /** Variables besides those that every call has. */
  readonly env?: Readonly<Record<string, string>>
  /** How long a file may become that it writes. */
  readonly fileBytes?: number
}

/** A reader and writer behind the executable that spec/conformance.md describes. */
export class Wrapper {
  constructor(private readonly program: string) {}

  /**
   * Has it do `verb`. Skips if it does not do that; fails if it says nothing sensible.
   */
  async call(verb: Verb, args: readonly string[], call: WrapperCall): Promise<Answer> {
    const output = await runProgram([this.program, verb, ...args], {
      cwd: call.folder,
      env: { ...call.env, OVMS_CONFORMANCE_HOME: call.folder },
      limitMs: verb === "build" ? BUILD_MS : CALL_MS,
      sparse: SPARSE.has(verb) && call.fileBytes === undefined,
      ...(call.fileBytes !== undefined && { fileBytes: call.fileBytes }),
      signal: call.signal,
    })
    if (output.status === UNAVAILABLE)
      skip(`the wrapper does not ${verb}${verb === "validate" ? ` ${args[0]}` : ""}`)
    return answerOf(verb, output)
  }
}

function answerOf(verb: Verb, { status, stdout, stderr }: Output): Answer {
  if (status === 0) return { stdout, stderr }
  const code = /\bOVM_[A-Z_]+\b/.exec(stderr)?.[0]
  const said = stderr.trim().slice(0, 300)
  if (code === undefined) fail(`${verb} ended with status ${status} and named no code: ${said || "nothing"}`)
  const known = codes[code]
  if (!known) fail(`${verb} ended with ${code}, which is not a code of spec/errors.json`)
  if (status !== known.exit)
    fail(`${verb} ended with status ${status}; that of ${code} is ${known.exit}: ${said}`)
  return { code, stdout, stderr }
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
