import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  type YAMLError,
} from "yaml"
import { pointerToken } from "../artifact/json.ts"
import { type ComposeFault, MOST_FAULTS } from "./faults.ts"
import { interpolate, type Variables } from "./interpolate.ts"

/** With every alias in place: what is longer is no file of machines. */
const MOST_NODES = 20_000
const DEPTH = 16
const TOO_MUCH = "the file is too large, or too deep"

/** What a file says, and in which line it says what. */
export interface ComposeDocument {
  readonly value: unknown
  readonly faults: readonly ComposeFault[]
  /** Of the value at a JSON pointer, or of the nearest one around it. */
  lineOf(pointer: string): number
}

/**
 * Reads YAML 1.2, its core schema and nothing beside it: no tags of anybody's, no key twice, aliases within bounds.
 * Variables are replaced in values, which cannot become anything else by that. Throws nothing.
 */
export function readDocument(text: string, variables: Variables): ComposeDocument {
  const counter = new LineCounter()
  const document = parseDocument(text, {
    version: "1.2",
    schema: "core",
    strict: true,
    uniqueKeys: true,
    prettyErrors: false,
    logLevel: "error",
    lineCounter: counter,
  })
  const lineAt = (offset: number | undefined) => counter.linePos(offset ?? 0).line
  const faults: ComposeFault[] = [...document.errors, ...document.warnings]
    .slice(0, MOST_FAULTS)
    .map((fault) => ({ pointer: "", line: lineAt(fault.pos[0]), message: wordsOf(fault) }))
    .filter(
      ({ message }, at, all) =>
        message !== TOO_MUCH || all.findIndex((one) => one.message === TOO_MUCH) === at,
    )
  const lines = new Map<string, number>([["", 1]])
  let count = 0
  let isOver = false

  /** `pointer` is where it stands, and `line` where that begins. */
  const take = (node: unknown, pointer: string, line: number, depth = 0): unknown => {
    lines.set(pointer, line)
    const refuse = (message: string) => {
      if (faults.length < MOST_FAULTS) faults.push({ pointer, line, message })
      return undefined
    }
    if (isOver) return undefined
    if (depth > DEPTH || ++count > MOST_NODES) {
      isOver = true
      return refuse(TOO_MUCH)
    }
    if (isAlias(node)) return take(node.resolve(document), pointer, line, depth + 1)
    if ((node as Node | null)?.tag !== undefined) return refuse("tags are not taken here")
    if (isMap(node)) {
      const members: Record<string, unknown> = Object.create(null)
      for (const { key, value } of node.items) {
        const name = isScalar(key) ? key.value : undefined
        const at = lineAt((key as Node | null)?.range?.[0])
        if (name === "<<") refuse("<< is not taken here: an alias stands for a whole value")
        else if (!["string", "number", "boolean"].includes(typeof name)) refuse("a key is no text")
        else members[`${name}`] = take(value, `${pointer}/${pointerToken(`${name}`)}`, at, depth + 1)
      }
      return members
    }
    if (isSeq(node))
      return node.items.map((item, at) =>
        take(item, `${pointer}/${at}`, lineAt((item as Node | null)?.range?.[0]), depth + 1),
      )
    if (!isScalar(node)) return null
    try {
      return scalar(node, variables)
    } catch (thrown) {
      return refuse((thrown as Error).message)
    }
  }

  const value = faults.length > 0 ? undefined : take(document.contents, "", 1)
  return {
    value,
    faults,
    lineOf: (pointer) => {
      for (let at = pointer; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
        const line = lines.get(at)
        if (line !== undefined) return line
      }
      return 1
    },
  }
}

/** What the library says of its own making, in words about the file. */
function wordsOf({ code, message }: YAMLError): string {
  if (code === "MULTIPLE_DOCS") return "there is more than one document in the file (---)"
  return /call stack/i.test(message) ? TOO_MUCH : message
}

/** A plain text that had a variable is read as if what it stands for had been written there. */
function scalar(node: Scalar, variables: Variables): unknown {
  const { value, type } = node
  if (typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value)))
    throw new SyntaxError("it is no number that can be used")
  if (typeof value !== "string") return value
  const text = interpolate(value, variables)
  if (text === value || type !== "PLAIN") return text
  if (/^-?(0|[1-9]\d{0,14})(\.\d{1,15})?$/.test(text)) return Number(text)
  return text === "true" ? true : text === "false" ? false : text
}
