/** Why a document could not be read; each stands for one requirement (spec/security.md, spec/limits.md). */
export type JsonFaultKind = "size" | "encoding" | "syntax" | "depth" | "duplicate"

export interface JsonFault {
  readonly kind: JsonFaultKind
  /** JSON pointer of the value or member at which reading stopped. */
  readonly pointer: string
  /** One sentence without a full stop, with line and column where there is one. */
  readonly message: string
}

export type JsonResult = { readonly value: unknown } | { readonly fault: JsonFault }

export interface JsonLimits {
  /** Bytes. */
  readonly bytes?: number
  /** Levels of arrays and objects. */
  readonly depth?: number
}

/** spec/limits.md: OVMS-LIM-001, OVMS-LIM-002. */
export const DOCUMENT_BYTES = 4 << 20
export const DOCUMENT_DEPTH = 64

/**
 * Reads hostile JSON (RFC 8259): valid UTF-8 without a byte order mark, no member twice, bounded size and depth,
 * numbers that a double holds. Time is linear in the input and nothing recurses. Throws nothing. Implements
 * OVMS-LIM-001, OVMS-LIM-002 and OVMS-SEC-010 to OVMS-SEC-013.
 */
export function readJson(bytes: Uint8Array, limits: JsonLimits = {}): JsonResult {
  const most = limits.bytes ?? DOCUMENT_BYTES
  if (bytes.length > most)
    return {
      fault: {
        kind: "size",
        pointer: "",
        message: `the document has ${bytes.length} bytes, the limit is ${most}`,
      },
    }
  let text: string
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return { fault: { kind: "encoding", pointer: "", message: "the document is not UTF-8" } }
  }
  if (text.startsWith("\ufeff"))
    return { fault: { kind: "encoding", pointer: "", message: "the document starts with a byte order mark" } }
  const depth = limits.depth ?? DOCUMENT_DEPTH
  const canonical = readCanonical(text, depth)
  if (canonical !== undefined) return { value: canonical }
  try {
    return { value: new Reader(text, depth).document() }
  } catch (stop) {
    if (stop instanceof Stop) return { fault: stop.fault }
    throw stop
  }
}

/**
 * The value of a text that the runtime would write just so: then no member is there twice, no number overflows and no
 * byte is left over, and reading it takes a tenth of the time. Undefined for any other text, which Reader judges.
 */
function readCanonical(text: string, depth: number): unknown {
  // Half of a surrogate pair could only be there as an escape.
  if (/\\u[dD][89a-fA-F]/.test(text)) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return JSON.stringify(value) === text && isWithin(value, depth) ? value : undefined
  } catch {
    return undefined
  }
}

/** True if no array or object in `value` is nested deeper than `depth` levels. Goes no deeper than that itself. */
function isWithin(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true
  return depth > 0 && Object.values(value).every((member) => isWithin(member, depth - 1))
}

/** Escapes one member name for a JSON pointer (RFC 6901). */
export function pointerToken(name: string | number): string {
  return String(name).replaceAll("~", "~0").replaceAll("/", "~1")
}

/** Carries a fault up to readJson; never leaves this module. */
class Stop extends Error {
  constructor(readonly fault: JsonFault) {
    super(fault.message)
  }
}

type Container =
  | { readonly list: unknown[] }
  | { readonly record: Record<string, unknown>; readonly names: Set<string>; name: string }

const SPACE = /[ \t\n\r]*/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the ones that RFC 8259 forbids in strings
const STRING = /"[^"\\\u0000-\u001f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\u0000-\u001f]*)*"/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const LITERAL = /true|false|null/y
const LITERALS: Record<string, unknown> = { true: true, false: false, null: null }

class Reader {
  private at = 0
  private readonly open: Container[] = []

  constructor(
    private readonly text: string,
    private readonly depth: number,
  ) {}

  document(): unknown {
    for (;;) {
      this.space()
      const opened = this.begin()
      if (opened) continue
      let value = this.scalar()
      // Close every container that ends here; `value` is then the container itself.
      for (;;) {
        const top = this.open.at(-1)
        if (!top) return this.end(value)
        this.add(top, value)
        this.space()
        if (this.take(",")) {
          if ("record" in top) this.member(top)
          break
        }
        if (!this.take("list" in top ? "]" : "}"))
          this.stop("syntax", `expected , or ${"list" in top ? "]" : "}"} instead of ${this.seen()}`)
        this.open.pop()
        value = "list" in top ? top.list : top.record
      }
    }
  }

  /** Enters an array or object that has content; an empty one is left for scalar(). */
  private begin(): boolean {
    const first = this.text[this.at]
    if (first !== "[" && first !== "{") return false
    if (this.open.length >= this.depth)
      this.stop("depth", `the document is nested deeper than ${this.depth} levels`)
    const start = this.at++
    this.space()
    if (this.text[this.at] === (first === "[" ? "]" : "}")) {
      this.at = start
      return false
    }
    const container: Container = first === "[" ? { list: [] } : { record: {}, names: new Set(), name: "" }
    this.open.push(container)
    if ("record" in container) this.member(container)
    return true
  }

  private scalar(): unknown {
    if (this.take("[")) return this.empty("]", [])
    if (this.take("{")) return this.empty("}", {})
    if (this.text[this.at] === '"') return this.string()
    const literal = this.match(LITERAL)
    if (literal !== undefined) return LITERALS[literal]
    const number = this.match(NUMBER)
    if (number === undefined) return this.stop("syntax", `expected a value instead of ${this.seen()}`)
    if (!Number.isFinite(Number(number))) return this.stop("syntax", "a number is too large for a double")
    return Number(number)
  }

  private empty<T>(close: string, value: T): T {
    this.space()
    this.take(close)
    return value
  }

  private string(): string {
    const from = this.at
    const token = this.match(STRING)
    if (token === undefined)
      return this.stop("syntax", "a string does not end, or has a control character or unknown escape")
    const value = token.includes("\\") ? (JSON.parse(token) as string) : token.slice(1, -1)
    if (value.isWellFormed()) return value
    this.at = from
    return this.stop("encoding", "a string has half of a surrogate pair")
  }

  private member(object: Extract<Container, { names: unknown }>): void {
    this.space()
    if (this.text[this.at] !== '"') this.stop("syntax", `expected a member name instead of ${this.seen()}`)
    const name = this.string()
    const twice = object.names.has(name)
    object.name = name
    if (twice) this.stop("duplicate", `the member ${JSON.stringify(name.slice(0, 100))} is there twice`)
    object.names.add(name)
    this.space()
    if (!this.take(":")) this.stop("syntax", `expected : instead of ${this.seen()}`)
  }

  private add(top: Container, value: unknown): void {
    if ("list" in top) top.list.push(value)
    // An assignment to "__proto__" would change the prototype instead of adding a member.
    else if (top.name === "__proto__")
      Object.defineProperty(top.record, top.name, {
        value,
        enumerable: true,
        writable: true,
        configurable: true,
      })
    else top.record[top.name] = value
  }

  private end(value: unknown): unknown {
    this.space()
    if (this.at < this.text.length) this.stop("syntax", `${this.seen()} after the end of the document`)
    return value
  }

  private space(): void {
    SPACE.lastIndex = this.at
    SPACE.test(this.text)
    this.at = SPACE.lastIndex
  }

  private match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found !== undefined) this.at += found.length
    return found
  }

  private take(character: string): boolean {
    if (this.text[this.at] !== character) return false
    this.at++
    return true
  }

  private seen(): string {
    const character = this.text.slice(this.at, this.at + 1)
    return character === "" ? "the end of the document" : JSON.stringify(character)
  }

  private stop(kind: JsonFaultKind, message: string): never {
    const before = this.text.slice(0, this.at).split("\n")
    const where = `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
    const pointer = this.open.map((c) => `/${pointerToken("list" in c ? c.list.length : c.name)}`).join("")
    throw new Stop({ kind, pointer, message: `${message} (${where})` })
  }
}
