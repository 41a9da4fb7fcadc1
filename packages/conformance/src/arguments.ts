import { parseArgs } from "node:util"
import { PROFILES, type Profile } from "./check.ts"

/** The command line is wrong: a sentence that says how. */
export class Misuse extends Error {}

export interface Arguments {
  readonly subject: Subject
  readonly profiles: readonly Profile[]
  readonly only?: string
  readonly name: string
  readonly report?: string
  readonly json: boolean
  readonly jobs: number
  readonly limitMs: number
}

/** What is tested: an executable, a socket that is served, or a command that serves one. */
export type Subject =
  | { readonly kind: "wrapper" | "adapter" | "agent"; readonly program: string }
  | { readonly kind: "registry"; readonly origin: string }
  | ({ readonly kind: "runtime"; readonly socket: string } & Given)
  | ({ readonly kind: "runtime"; readonly start: string } & Given)

/** What the suite has not, and may be given: path of a machine with Linux. */
interface Given {
  readonly linux?: string
}

export interface Plain {
  readonly show: "help" | "version" | "list"
}

const OPTIONS = {
  profile: { type: "string" },
  only: { type: "string" },
  socket: { type: "string" },
  start: { type: "string" },
  linux: { type: "string" },
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
  for (const show of ["help", "version", "list"] as const) if (values[show]) return { show }
  const subject = subjectOf(positionals, values)
  return {
    subject,
    profiles: profilesOf(values.profile),
    ...(values.only !== undefined && { only: values.only }),
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
}

function subjectOf([kind, program, ...more]: readonly string[], { socket, start, linux }: Words): Subject {
  if (linux !== undefined && kind !== "runtime") throw new Misuse("--linux is of a runtime")
  if (kind === undefined)
    throw new Misuse(
      "say what is to be tested: wrapper PROGRAM, adapter PROGRAM, agent PROGRAM, registry URL, or runtime",
    )
  if (kind === "registry") return { kind, origin: originOf(program) }
  if (kind === "wrapper" || kind === "adapter" || kind === "agent") {
    if (program === undefined) throw new Misuse(`which PROGRAM is the ${kind}?`)
    if (more.length > 0) throw new Misuse(`"${more[0]}" is one word too many`)
    if (socket !== undefined || start !== undefined) throw new Misuse("--socket and --start are of a runtime")
    return { kind, program }
  }
  if (kind !== "runtime") throw new Misuse(`there is no subject "${kind}"`)
  if (program !== undefined) throw new Misuse(`"${program}" is one word too many`)
  if (socket !== undefined && start !== undefined) throw new Misuse("--socket or --start, not both")
  const given = linux === undefined ? {} : { linux }
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

function profilesOf(list: string | undefined): readonly Profile[] {
  if (list === undefined) return PROFILES
  return list.split(",").map((word) => {
    const profile = PROFILES.find((known) => known === word)
    if (!profile) throw new Misuse(`--profile: "${word}" is none of ${PROFILES.join(", ")}`)
    return profile
  })
}

function numberOf(option: string, text: string): number {
  if (!/^[1-9]\d{0,4}$/.test(text)) throw new Misuse(`--${option}: "${text}" is not a number from 1 to 99999`)
  return Number(text)
}
