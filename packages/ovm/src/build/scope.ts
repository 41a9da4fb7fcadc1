import { Wrong } from "./faults.ts"
import { expand, splitWords, type VariableLookup } from "./words.ts"

/** One variable of an ARG, with the value that it has unless told. */
export interface Argument {
  readonly name: string
  readonly value?: string
}

/** What an ARG declares, each expanded once those before it are taken. Throws Wrong. */
export function* argumentsOf(rest: string, lookup: VariableLookup, mark: string): Generator<Argument> {
  for (const word of splitWords(rest, mark)) {
    const [, name, , value] = /^([A-Za-z_][A-Za-z0-9_]*)(=(.*))?$/s.exec(word) ?? []
    if (name === undefined) throw new Wrong(`ARG ${word} is not NAME or NAME=VALUE`)
    yield { name, ...(value !== undefined && { value: expand(value, lookup, mark) }) }
  }
}

/** Known without an ARG, and no part of what a layer depends on (Docker's "Predefined ARGs"). */
const ASIDE = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"]

/** Known to FROM without an ARG, and to a stage by one (Docker's "Automatic platform ARGs in the global scope"). */
export const PLATFORM_ARGS: Readonly<Record<string, string>> = {
  TARGETPLATFORM: "linux/amd64",
  TARGETOS: "linux",
  TARGETARCH: "amd64",
  TARGETVARIANT: "",
  BUILDPLATFORM: "linux/amd64",
  BUILDOS: "linux",
  BUILDARCH: "amd64",
  BUILDVARIANT: "",
}

/** The arguments of one stage, as they are declared, and those of the stage that it begins with. */
export class ArgumentScope {
  readonly #values = new Map<string, string>()

  constructor(
    private readonly given: ReadonlyMap<string, string>,
    private readonly globals: ReadonlyMap<string, string>,
    before: ReadonlyMap<string, string>,
  ) {
    for (const [name, value] of before) this.#values.set(name, value)
    for (const [name, value] of given) if (ArgumentScope.isAside(name)) this.#values.set(name, value)
  }

  declare({ name, value }: Argument): void {
    const found = this.given.get(name) ?? value ?? this.globals.get(name)
    if (found !== undefined) this.#values.set(name, found)
  }

  value(name: string): string | undefined {
    return this.#values.get(name)
  }

  /** By name. */
  all(): readonly (readonly [string, string])[] {
    return [...this.#values].sort(([a], [b]) => (a < b ? -1 : 1))
  }

  /** Of a name, or of `NAME=VALUE`. */
  static isAside(variable: string): boolean {
    return ASIDE.includes((variable.split("=")[0] ?? "").toLowerCase())
  }
}
