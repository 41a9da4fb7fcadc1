/** What stands for a name in a file; undefined where nothing does. */
export type Variables = (name: string) => string | undefined

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y
/** How deep a `${A:-${B:-…}}` may be. */
const DEPTH = 8

/**
 * `text` with its variables replaced, in Docker's forms: `$A`, `${A}`, and `${A-word}`, `${A?word}`, `${A+word}` with a
 * colon for what is empty as well; `$$` is a dollar. Throws a SyntaxError that says what is wrong: also about a
 * variable that is not set and has nothing in its place.
 */
export function interpolate(text: string, variables: Variables): string {
  return text.includes("$") ? new Reader(text, variables).read() : text
}

class Reader {
  #at = 0

  constructor(
    readonly text: string,
    readonly variables: Variables,
  ) {}

  /** Up to the end, or inside of braces to the one that closes them. */
  read(depth = 0): string {
    let found = ""
    while (this.#at < this.text.length) {
      const next = this.text[this.#at] ?? ""
      if (depth > 0 && next === "}") return found
      this.#at++
      found += next === "$" ? this.#variable(depth) : next
    }
    if (depth > 0) throw new SyntaxError("${ is not closed")
    return found
  }

  #variable(depth: number): string {
    const next = this.text[this.#at]
    if (next === "$") {
      this.#at++
      return "$"
    }
    if (next !== "{") return this.#value(this.#name())
    if (depth >= DEPTH) throw new SyntaxError("variables are nested too deep")
    this.#at++
    const name = this.#name()
    const [operator = ""] = /^(:?[-?+])?/.exec(this.text.slice(this.#at, this.#at + 2)) ?? []
    this.#at += operator.length
    const word = operator === "" ? "" : this.read(depth + 1)
    if (this.text[this.#at] !== "}")
      throw new SyntaxError(`\${${name} is not closed, or has what is not known here`)
    this.#at++
    return this.#chosen(name, operator, word)
  }

  #name(): string {
    NAME.lastIndex = this.#at
    const [name] = NAME.exec(this.text) ?? []
    if (name === undefined)
      throw new SyntaxError("there is no name of a variable after $; a dollar is written $$")
    this.#at += name.length
    return name
  }

  #chosen(name: string, operator: string, word: string): string {
    const value = this.variables(name)
    const there = value !== undefined && !(operator.startsWith(":") && value === "")
    if (operator.endsWith("+")) return there ? word : ""
    if (there) return value
    if (operator.endsWith("-")) return word
    if (operator.endsWith("?")) throw new SyntaxError(`${name}: ${word || "it has to be set"}`)
    return this.#value(name)
  }

  #value(name: string): string {
    const value = this.variables(name)
    if (value !== undefined) return value
    throw new SyntaxError(`${name} is not set; \${${name}:-} stands for nothing then`)
  }
}
