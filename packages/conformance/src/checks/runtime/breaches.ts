// Bodies of requests that break one rule each of their schema (spec/api/openapi.yaml): its bounds from just outside.

/** As far as request schemas of the OpenAPI file go; references are resolved. */
export interface Schema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly propertyNames?: Schema
  readonly maxProperties?: number
  readonly items?: Schema
  readonly minItems?: number
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly enum?: readonly string[]
  readonly oneOf?: readonly Pick<Schema, "required">[]
  readonly minimum?: number
  readonly maximum?: number
  readonly multipleOf?: number
  readonly "x-requirement"?: string
  readonly "x-requirement-required"?: string
  readonly "x-requirement-additionalProperties"?: string
}

export interface Breach {
  readonly body: unknown
  /** Of the member that is at fault, or of what it is in. */
  readonly names: readonly string[]
  readonly requirement: string
  readonly what: string
}

/** Where in a body a value stands. */
interface Place {
  readonly names: readonly string[]
  readonly requirement: string
  /** The whole body with this value there, and what it cannot be without. */
  around(value: unknown): unknown
}

/** `base` has what the body cannot be without. */
export function breachesOf(schema: Schema, base: Readonly<Record<string, unknown>>): readonly Breach[] {
  const whole: Place = { names: [], requirement: "OVMS-API-012", around: (value) => value }
  return [...objectBreaches(schema, whole, base)]
}

function* breachesAt(schema: Schema, outer: Place): Generator<Breach> {
  const place = { ...outer, requirement: schema["x-requirement"] ?? outer.requirement }
  for (const [what, value] of wrongValues(schema))
    yield { ...place, body: place.around(value), what: `${place.names.join(".")} that is ${what}` }
  if (schema.type === "object") yield* objectBreaches(schema, place)
  if (schema.items) yield* breachesAt(schema.items, { ...place, around: (value) => place.around([value]) })
}

function* objectBreaches(
  schema: Schema,
  place: Place,
  base: Readonly<Record<string, unknown>> = needed(schema),
): Generator<Breach> {
  const { properties = {}, required = [], additionalProperties, propertyNames } = schema
  const about = place.names.join(".") || "the body"
  for (const name of required) {
    const { [name]: _, ...others } = base
    const requirement = schema["x-requirement-required"] ?? place.requirement
    const names = [...place.names, name]
    yield { body: place.around(others), names, requirement, what: `${about} without ${name}` }
  }
  if (additionalProperties === false) {
    const requirement = schema["x-requirement-additionalProperties"] ?? place.requirement
    const body = place.around({ ...base, surplus: 1 })
    yield { body, names: ["surplus"], requirement, what: `${about} with a member surplus` }
  }
  for (const [name, member] of Object.entries(properties))
    yield* breachesAt(member, {
      ...place,
      names: [...place.names, name],
      around: (value) => place.around({ ...base, [name]: value }),
    })
  if (typeof additionalProperties === "object")
    yield* breachesAt(additionalProperties, { ...place, around: (value) => place.around({ x: value }) })
  if (propertyNames)
    for (const name of wrongTexts(propertyNames))
      yield { ...place, body: place.around({ [name]: "" }), what: `${about} with the name ${shown(name)}` }
}

function* wrongValues(schema: Schema): Generator<readonly [what: string, value: unknown]> {
  const { type, minimum, maximum, multipleOf = 1, minItems = 0, maxItems, maxProperties } = schema
  yield ["null", null]
  if (type === "string" || schema.enum) yield ["a number", 7]
  if (type === "string") for (const text of wrongTexts(schema)) yield [shown(text), text]
  if (schema.enum) yield ["another word", "nonsense"]
  if (type === "boolean") for (const value of ["true", 1]) yield [shown(value), value]
  if (type === "integer" || type === "number") {
    yield ["a text", String(minimum ?? 1)]
    const step = type === "integer" ? multipleOf : 0.001
    if (type === "integer") yield ["no whole number", (minimum ?? 0) + 0.5]
    if (multipleOf > 1) yield ["no multiple", (minimum ?? 0) + 1]
    if (minimum !== undefined) yield ["too little", minimum - step]
    if (maximum !== undefined) yield ["too much", maximum + step]
  }
  if (type === "array") {
    yield ["no array", { x: 1 }]
    const one = sample(schema.items ?? {})
    const many = (count: number) =>
      Array.from({ length: count }, (_, at) => (schema.uniqueItems ? `${one}${at}` : one))
    if (minItems > 0) yield ["too short", many(minItems - 1)]
    if (maxItems !== undefined) yield [`longer than ${maxItems}`, many(maxItems + 1)]
    if (schema.uniqueItems) yield ["twice the same", [one, one]]
  }
  if (type === "object") {
    yield ["a text", "x"]
    yield ["an array", []]
    if (maxProperties !== undefined) {
      const names = Array.from({ length: maxProperties + 1 }, (_, at) => [`x${at}`, ""])
      yield [`more than ${maxProperties}`, Object.fromEntries(names)]
    }
  }
}

/** What some pattern does not take; those whose length alone is wrong are made for the schema. */
const ODD_TEXTS = ["", "\n", "a\0a", "-a", "a a", "ä", "/", "..", "nonsense:0", "A/b"]
/** Longer by one than what some pattern takes. */
const LENGTHS = [33, 61, 64, 129]
/** What some pattern takes, and goes on to take with its last character once more. */
const BEGINNINGS = ["a", "/a", "a=a", "1", "AAAA"]

function* wrongTexts({ pattern, minLength = 0, maxLength }: Schema): Generator<string> {
  const fits = new RegExp(pattern ?? "", "u")
  const odd = [...ODD_TEXTS, ...LENGTHS.map((length) => "a".repeat(length))]
  yield* odd.filter((text) => !fits.test(text) || text.length < minLength)
  if (maxLength === undefined) return
  const long = BEGINNINGS.map((text) => text.padEnd(maxLength + 1, text.at(-1)))
  yield long.find((text) => fits.test(text)) ?? "a".repeat(maxLength + 1)
}

/** A value that a schema takes. */
function sample(schema: Schema): unknown {
  const { type, pattern = "", minLength = 0, minItems = 0, items = {} } = schema
  if (schema.enum) return schema.enum[0]
  if (type === "boolean") return true
  if (type === "integer" || type === "number") return schema.minimum ?? 0
  if (type === "array") return Array(minItems).fill(sample(items))
  if (type === "object") return needed(schema)
  const fits = new RegExp(pattern, "u")
  return BEGINNINGS.find((text) => fits.test(text) && text.length >= minLength) ?? "a"
}

function needed({ properties = {}, required = [], oneOf = [] }: Schema): Readonly<Record<string, unknown>> {
  const names = [...required, ...(oneOf[0]?.required ?? [])]
  return Object.fromEntries(names.map((name) => [name, sample(properties[name] ?? {})]))
}

function shown(value: unknown): string {
  const text = JSON.stringify(value)
  return text.length > 40 ? `${text.slice(0, 20)}… of ${String(value).length} characters` : text
}
