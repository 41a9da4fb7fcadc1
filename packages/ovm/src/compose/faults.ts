import { excerpt } from "../artifact/faults.ts"
import { pointerToken } from "../artifact/json.ts"
import { OvmError } from "../errors.ts"
import type { SchemaError } from "./generated/validators.js"
import { nearest } from "./nearest.ts"
import schema from "./schema.json" with { type: "json" }

/** One thing that is wrong in a file of machines. */
export interface ComposeFault {
  /** JSON pointer. */
  readonly pointer: string
  readonly line: number
  readonly message: string
}

export const MOST_FAULTS = 100

/** The error for the faults of the file at `path`, of which there is one at least; all of them are its detail. */
export function composeError(path: string, faults: readonly ComposeFault[]): OvmError {
  const sorted = faults.toSorted((a, b) => a.line - b.line)
  const [first = { pointer: "", line: 1, message: "it cannot be read" }] = sorted
  const more = sorted.length > 1 ? ` (and ${sorted.length - 1} more)` : ""
  return new OvmError("OVM_COMPOSE_INVALID", `${path}:${first.line}: ${sentence(first)}${more}`, {
    detail: sorted.map(({ pointer, line, message }) => ({
      pointer,
      line,
      message: `line ${line}: ${message}`,
    })),
  })
}

function sentence({ pointer, message }: ComposeFault): string {
  if (pointer === "") return message
  const names = pointer.slice(1).split("/")
  const plain = names.map((name) => (/[~.\s]/.test(name) ? excerpt(unescaped(name)) : name))
  return `${plain.join(".")}: ${message}`
}

/** Of a JSON pointer (RFC 6901). */
function unescaped(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~")
}

interface Node {
  readonly $ref?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Node>>
  readonly additionalProperties?: Node | boolean
  readonly propertyNames?: Node
  readonly items?: Node
}

/** What of `value` the schema refuses: its place, and a sentence. */
export function composeFaultOf(error: SchemaError, value: unknown): Omit<ComposeFault, "line"> {
  const { instancePath, keyword, params, propertyName } = error
  const below = (name: unknown) => `${instancePath}/${pointerToken(String(name))}`
  const { node, found } = placeOf(instancePath, value)
  const meant = node.description ? `: ${node.description}` : ""
  if (keyword === "additionalProperties") {
    const unknown = String(params.additionalProperty)
    const known = nearest(unknown, Object.keys(node.properties ?? {}))
    return {
      pointer: below(unknown),
      message: `there is no key ${excerpt(unknown)} here${known ? `; did you mean ${known}?` : ""}`,
    }
  }
  if (keyword === "required") return { pointer: below(params.missingProperty), message: "it is missing" }
  if (propertyName !== undefined)
    return {
      pointer: below(propertyName),
      message: `${excerpt(propertyName)} is no name for it. ${node.propertyNames?.description ?? ""}`.trim(),
    }
  const said = typeof found === "object" ? "" : `, not ${excerpt(found)}`
  if (keyword === "enum")
    return {
      pointer: instancePath,
      message: `it is one of ${(params.allowedValues as string[]).join(", ")}${said}`,
    }
  if (keyword === "pattern")
    return { pointer: instancePath, message: `${excerpt(found)} is not allowed here${meant}` }
  return { pointer: instancePath, message: `it ${error.message ?? "is not valid"}${said}${meant}` }
}

/** The part of the schema that a value is held against, and the value. */
function placeOf(pointer: string, root: unknown): { node: Node; found: unknown } {
  let node = schema as Node
  let found = root
  for (const token of pointer.split("/").slice(1)) {
    const name = unescaped(token)
    const others = typeof node.additionalProperties === "object" ? node.additionalProperties : undefined
    node = target(node.properties?.[name] ?? (Array.isArray(found) ? node.items : others) ?? {})
    found = (found as Record<string, unknown> | null | undefined)?.[name]
  }
  return { node, found }
}

function target(node: Node): Node {
  const name = node.$ref?.replace("#/$defs/", "")
  return name === undefined ? node : { ...(schema.$defs as Record<string, Node>)[name], ...node }
}
