import { Wrong } from "./faults.ts"

/** What variables stand for; undefined for one that is not set. */
export type VariableLookup = (name: string) => string | undefined

/** The words of a line, at blanks outside of quotes, as they are written. */
export function splitWords(text: string, mark: string): readonly string[] {
  const words: string[] = []
  let word = ""
  let quote = ""
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    if (character === mark && quote !== "'" && at + 1 < text.length) word += character + text[++at]
    else if (quote === "" && /\s/.test(character)) {
      if (word !== "") words.push(word)
      word = ""
    } else {
      if (quote === character) quote = ""
      else if (quote === "" && (character === '"' || character === "'")) quote = character
      word += character
    }
  }
  if (quote !== "") throw new Wrong(`a quote ${quote} is not closed`)
  return word === "" ? words : [...words, word]
}

/** Of a value, in characters: Linux takes no longer text in an environment. */
const MOST_VALUE = 128 * 1024

/** A word without its quotes, with what its variables stand for (Docker's "Environment replacement"). */
export function expand(word: string, lookup: VariableLookup, mark: string): string {
  return new Expansion(word, lookup, mark).all()
}

class Expansion {
  #at = 0

  constructor(
    private readonly text: string,
    private readonly lookup: VariableLookup,
    private readonly mark: string,
  ) {}

  all(): string {
    const made = this.#until("")
    return made
  }

  /** Up to that character outside of quotes, which is passed; to the end for none. */
  #until(end: string): string {
    let made = ""
    while (this.#at < this.text.length) {
      const character = this.text[this.#at] as string
      if (character === end) break
      this.#at++
      if (character === "'") made += this.#literal()
      else if (character === '"') made += this.#quoted()
      else if (character === "$") made += this.#variable()
      else if (character === this.mark) made += this.text[this.#at++] ?? ""
      else made += character
      this.#bounded(made)
    }
    if (end !== "" && this.text[this.#at++] !== end) throw new Wrong(`${this.text} lacks a ${end}`)
    return made
  }

  #literal(): string {
    const end = this.text.indexOf("'", this.#at)
    if (end < 0) throw new Wrong("a quote ' is not closed")
    const made = this.text.slice(this.#at, end)
    this.#at = end + 1
    return made
  }

  #quoted(): string {
    let made = ""
    while (this.text[this.#at] !== '"') {
      const character = this.text[this.#at++]
      if (character === undefined) throw new Wrong('a quote " is not closed')
      const next = this.text[this.#at] ?? ""
      if (character === "$") made += this.#variable()
      else if (character === this.mark && ['"', "$", this.mark].includes(next)) {
        made += next
        this.#at++
      } else made += character
      this.#bounded(made)
    }
    this.#at++
    return made
  }

  /** Variables of variables grow without end. */
  #bounded(made: string): void {
    if (made.length > MOST_VALUE)
      throw new Wrong(`${this.text.slice(0, 80)} stands for more than ${MOST_VALUE} characters`)
  }

  #variable(): string {
    const braces = this.text[this.#at] === "{"
    if (braces) this.#at++
    const [name = ""] = /^([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?!$-])/.exec(this.text.slice(this.#at)) ?? []
    if (name === "") {
      if (braces) throw new Wrong(`${this.text}: there is no name behind \${`)
      return "$"
    }
    this.#at += name.length
    const value = this.lookup(name)
    if (!braces) return value ?? ""
    return this.#modified(name, value)
  }

  #modified(name: string, value: string | undefined): string {
    const colon = this.text[this.#at] === ":" ? ":" : ""
    this.#at += colon.length
    const sign = this.text[this.#at++]
    if (sign === "}" && colon === "") return value ?? ""
    if (sign !== "-" && sign !== "+" && sign !== "?")
      throw new Wrong(`${this.text}: what follows the name of ${name} is not supported`)
    const other = this.#until("}")
    const isSet = colon ? value !== undefined && value !== "" : value !== undefined
    if (sign === "+") return isSet ? other : ""
    if (isSet) return value ?? ""
    if (sign === "?") throw new Wrong(other === "" ? `${name} is not set` : `${name}: ${other}`)
    return other
  }
}
