import { parseArgs } from "node:util"
import { PROFILES, type Profile } from "./check.ts"

/** The command line is wrong: a sentence that says how. */
export class Misuse extends Error {}

export interface Arguments {
  readonly subject: Subject
  readonly profiles: readonly Profile[]
  /** As in Choice. */
  readonly only: readonly string[]
  readonly name: string
  readonly report?: string
  readonly json: boolean
  readonly jobs: number
  readonly limitMs: number
}

/** What is tested: an executable, a socket that is served, or a command that serves one. */
export type Subject =
  | { readonly kind: "adapter" | "agent"; readonly program: string }
  | ({ readonly kind: "wrapper"; readonly program: string } & Given)
  | { readonly kind: "registry"; readonly origin: string }
  | ({ readonly kind: "runtime"; readonly socket: string } & Given)
  | ({ readonly kind: "runtime"; readonly start: string } & Given)

const KINDS = ["wrapper", "runtime", "adapter", "agent", "registry"] as const

/** What the suite has not, and may be given: path of a machine with Linux, and of a runtime's wrapper. */
interface Given {
  readonly linux?: string
  readonly wrapper?: string
}

export type Plain =
  | { readonly show: "help" }
  | { readonly show: "version" }
  | ({ readonly show: "list"; readonly kind?: Subject["kind"] } & Pick<Arguments, "profiles" | "only">)

const OPTIONS = {
  profile: { type: "string", multiple: true },
  only: { type: "string", multiple: true },
  socket: { type: "string" },
  start: { type: "string" },
  linux: { type: "string" },
  wrapper: { type: "string" },
  name: { type: "string" },
  report: { type: "string" },
  json: { type: "boolean" },
  jobs: { type: "string" },
  limit: { type: "string" },
  list: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "V" },
} as const

/** Throws Misuse. */
export function parseArguments(words: readonly string[]): Arguments | Plain {
  const { values, positionals } = parsed(words)
  for (const show of ["help", "version"] as const) if (values[show]) return { show }
  const choice = { profiles: profilesOf(wordsOf(values.profile)), only: wordsOf(values.only) }
  if (values.list) return { show: "list", ...choice, ...kindOf(positionals[0]) }
  const subject = subjectOf(positionals, values)
  return {
    subject,
    ...choice,
    name: values.name ?? Object.values(subject)[1] ?? "",
    ...(values.report !== undefined && { report: values.report }),
    json: values.json ?? false,
    jobs: numberOf("jobs", values.jobs ?? "2"),
    limitMs: numberOf("limit", values.limit ?? "120") * 1000,
  }
}

interface Words {
  readonly socket?: string | undefined
  readonly start?: string | undefined
  readonly linux?: string | undefined
  readonly wrapper?: string | undefined
}

function subjectOf(
  [kind, program, ...more]: readonly string[],
  { socket, start, linux, wrapper }: Words,
): Subject {
  if (linux !== undefined && kind !== "runtime" && kind !== "wrapper")
    throw new Misuse("--linux is of a runtime and of a wrapper")
  if (wrapper !== undefined && kind !== "runtime") throw new Misuse("--wrapper is of a runtime")
  const given = { ...(linux !== undefined && { linux }), ...(wrapper !== undefined && { wrapper }) }
  if (kind === undefined)
    throw new Misuse(
      "say what is to be tested: wrapper PROGRAM, adapter PROGRAM, agent PROGRAM, registry URL, or runtime",
    )
  if (kind === "registry") return { kind, origin: originOf(program) }
  if (kind === "wrapper" || kind === "adapter" || kind === "agent") {
    if (program === undefined) throw new Misuse(`which PROGRAM is the ${kind}?`)
    if (more.length > 0) throw new Misuse(`"${more[0]}" is one word too many`)
    if (socket !== undefined || start !== undefined) throw new Misuse("--socket and --start are of a runtime")
    return kind === "wrapper" ? { kind, program, ...given } : { kind, program }
  }
  if (kind !== "runtime") throw new Misuse(`there is no subject "${kind}"`)
  if (program !== undefined) throw new Misuse(`"${program}" is one word too many`)
  if (socket !== undefined && start !== undefined) throw new Misuse("--socket or --start, not both")
  if (socket !== undefined) return { kind, socket, ...given }
  if (start !== undefined) return { kind, start, ...given }
  throw new Misuse("say --socket PATH, or --start COMMAND")
}

function originOf(url = ""): string {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new Misuse("say the URL of the registry, http:// or https://")
  return new URL(url).origin
}

function parsed(words: readonly string[]) {
  try {
    return parseArgs({ args: [...words], options: OPTIONS, allowPositionals: true })
  } catch (thrown) {
    throw new Misuse(thrown instanceof Error ? thrown.message : String(thrown))
  }
}

/** Of a list that may be given again. */
function wordsOf(lists: readonly string[] = []): string[] {
  return lists.flatMap((list) => list.split(",")).filter((word) => word !== "")
}

function kindOf(word: string | undefined): { kind?: Subject["kind"] } {
  if (word === undefined) return {}
  const kind = KINDS.find((known) => known === word)
  if (!kind) throw new Misuse(`there is no subject "${word}"`)
  return { kind }
}

function profilesOf(words: readonly string[]): readonly Profile[] {
  if (words.length === 0) return PROFILES
  return words.map((word) => {
    const profile = PROFILES.find((known) => known === word)
    if (!profile) throw new Misuse(`--profile: "${word}" is none of ${PROFILES.join(", ")}`)
    return profile
  })
}

function numberOf(option: string, text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new Misuse(`--${option}: "${text}" is not a number from 1 to 99999`)
  return Number(text)
}
