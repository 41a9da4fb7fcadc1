import { excerpt } from "./faults.ts"
import type { SchemaError } from "./generated/manifest.js"
import { pointerToken } from "./json.ts"

/** One breach of a JSON Schema. */
export interface Breach {
  readonly pointer: string
  readonly requirement: string
  /** The member is reserved for a later version (OVMS-MAN-003). */
  readonly reserved: boolean
  readonly message: string
}

/** By place in a schema: the requirement it enforces, and what a text there means; generated beside each validator. */
export interface Places {
  readonly requirements: Readonly<Record<string, string>>
  readonly meanings: Readonly<Record<string, string>>
}

/** As Ajv compiles it: leaves its findings on the function. */
export interface Validator {
  (value: unknown): boolean
  errors?: readonly SchemaError[] | null
}

/** Breaches beyond this many are counted, not listed: a hostile document could have a million. */
const MOST = 256

/** Every breach of a compiled schema by `value`, each with the requirement that the schema's x-requirement names. */
export function breaches(validate: Validator, places: Places, value: unknown): Breach[] {
  if (validate(value)) return []
  const all = (validate.errors ?? []).filter(tellsSomething)
  // What is of another type is one fault, whatever else it is not (OVMS-ERR-011).
  const otherTypes = new Set(all.flatMap((error) => (error.keyword === "type" ? error.instancePath : [])))
  const errors = all.filter(
    ({ keyword, instancePath }) => keyword === "type" || !otherTypes.has(instancePath),
  )
  const found = errors.slice(0, MOST).map((error) => ({
    pointer: pointerOf(error),
    requirement: requirementOf(places.requirements, error),
    reserved: error.keyword === "not",
    message: messageOf(places, error, valueAt(value, error.instancePath)),
  }))
  const [first] = found
  if (first && errors.length > MOST)
    found.push({ ...first, pointer: "", message: `${errors.length - MOST} more faults` })
  return found
}

/**
 * False for errors that add nothing: of the branches of an `anyOf` or `oneOf`, and of keywords that only say that
 * another one failed.
 */
function tellsSomething(error: SchemaError): boolean {
  return (
    !/\/(any|one)Of\/\d+\//.test(error.schemaPath) &&
    error.keyword !== "if" &&
    error.keyword !== "propertyNames"
  )
}

/** Where the fault is; of a missing or superfluous member, where that is. */
function pointerOf({ instancePath, keyword, params, propertyName }: SchemaError): string {
  if (keyword === "required") return `${instancePath}/${pointerToken(String(params.missingProperty))}`
  if (keyword === "dependentRequired") return `${instancePath}/${pointerToken(String(params.property))}`
  if (keyword === "additionalProperties")
    return `${instancePath}/${pointerToken(String(params.additionalProperty))}`
  return propertyName === undefined ? instancePath : `${instancePath}/${pointerToken(propertyName)}`
}

/** The requirement of the nearest subschema that names one, from the failed keyword outwards. */
function requirementOf(table: Readonly<Record<string, string>>, error: SchemaError): string {
  let place = error.schemaPath
  if (error.keyword === "required") {
    const owner = place.replace(/(\/then)?\/required$/, "")
    const whole = table[`${owner}/required`]
    if (whole) return whole
    place = `${owner}/properties/${String(error.params.missingProperty)}`
  }
  const suffix = error.keyword === "additionalProperties" ? "/additionalProperties" : ""
  if (suffix) place = place.slice(0, -suffix.length)
  for (;;) {
    const found = table[place + suffix]
    if (found) return found
    if (place === "#") throw new Error(`no requirement for ${error.schemaPath}`)
    place = place.slice(0, place.lastIndexOf("/"))
  }
}

/** One sentence of what is wrong with `value`, which is what `error` points to. */
function messageOf(table: Places, error: SchemaError, value: unknown): string {
  const { keyword, params, schemaPath } = error
  const name = nameOf(pointerOf(error))
  switch (keyword) {
    case "required":
      return `${name} is missing`
    case "dependentRequired":
      return `${name} is there without ${String(params.missingProperty)}`
    case "additionalProperties":
      return `${excerpt(params.additionalProperty)} is not a field of this object`
    case "not":
      return `${name} is a name reserved for a later version, which this version does not support`
    case "anyOf":
      return "there is neither a kernel nor a disk to boot from"
    case "oneOf":
      return "a disk has either layers or a size"
    case "const":
      return `${name} must be ${excerpt(params.allowedValue)}, not ${excerpt(value)}`
    case "enum":
      return `${name} must be one of ${(params.allowedValues as string[]).join(", ")}, not ${excerpt(value)}`
    case "pattern": {
      const meaning = table.meanings[schemaPath.slice(0, -"/pattern".length)]
      return `${error.propertyName === undefined ? excerpt(value) : excerpt(error.propertyName)} is not allowed here. ${meaning ?? ""}`.trim()
    }
    default:
      return `${name} ${error.message ?? "is not valid"}${typeof value === "object" ? "" : `, not ${excerpt(value)}`}`
  }
}

function nameOf(pointer: string): string {
  const last = pointer
    .slice(pointer.lastIndexOf("/") + 1)
    .replaceAll("~1", "/")
    .replaceAll("~0", "~")
  return pointer === ""
    ? "the document"
    : /^[A-Za-z_][\w-]*$/.test(last)
      ? last
      : `${pointer.split("/").at(-2) ?? ""}[${last.slice(0, 60)}]`
}

/** The value at a pointer that a validator gave. */
function valueAt(root: unknown, pointer: string): unknown {
  let value = root
  for (const token of pointer.split("/").slice(1)) {
    if (typeof value !== "object" || value === null) return undefined
    value = (value as Record<string, unknown>)[token.replaceAll("~1", "/").replaceAll("~0", "~")]
  }
  return value
}
