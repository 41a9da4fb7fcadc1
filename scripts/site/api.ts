import { parse } from "yaml"
import { read } from "./sources.ts"

type Schema = Record<string, unknown> & {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly oneOf?: readonly Schema[]
}

interface Content {
  readonly description?: string
  readonly $ref?: string
  readonly content?: Readonly<Record<string, { readonly schema?: Schema }>>
}

interface Operation {
  readonly operationId: string
  readonly summary: string
  readonly description?: string
  readonly parameters?: readonly (Schema & {
    readonly name: string
    readonly in: string
    readonly schema?: Schema
  })[]
  readonly requestBody?: Content
  readonly responses: Readonly<Record<string, Content>>
}

interface OpenApi {
  readonly info: { readonly description: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: Readonly<Record<string, Readonly<Record<string, Schema>>>>
}

const METHODS = ["get", "post", "put", "delete", "patch"]

/** The reference of the runtime API, in Markdown, out of its OpenAPI file. */
export async function apiDocument(): Promise<string> {
  const api = parse(await read("spec/api/openapi.yaml")) as OpenApi
  const operations = Object.entries(api.paths).flatMap(([path, at]) =>
    METHODS.flatMap((method) =>
      at[method] ? operationText(api, `${method.toUpperCase()} ${path}`, at[method]) : [],
    ),
  )
  const schemas = Object.entries(api.components.schemas ?? {}).flatMap(([name, schema]) =>
    schemaText(name, schema),
  )
  return [
    "# Runtime API",
    "",
    api.info.description,
    "",
    "What the operations mean is in [runtime-api.md](../spec/runtime-api.md).",
    "",
    "## Operations",
    "",
    ...operations,
    "## Documents",
    "",
    ...schemas,
  ].join("\n")
}

function operationText(api: OpenApi, title: string, operation: Operation): string[] {
  const { summary, description, parameters = [], requestBody, responses } = operation
  const named = parameters.map((one) => (one.$ref ? (resolved(api, one.$ref) as unknown as typeof one) : one))
  const rows = named.map(
    ({ name, in: where, description: says, schema }) =>
      `| \`${name}\` | ${where} | ${typeOf(schema)} | ${cell(says)} |`,
  )
  const answers = Object.entries(responses).map(([status, answer]) => {
    const found = answer.$ref ? (resolved(api, answer.$ref) as unknown as Content) : answer
    return `| ${status} | ${bodyOf(found)} | ${cell(found.description)} |`
  })
  return [
    `### ${title}`,
    "",
    `${summary}.${description ? ` ${description}` : ""}`,
    "",
    ...(rows.length > 0 ? ["| parameter | in | type | |", "| --- | --- | --- | --- |", ...rows, ""] : []),
    ...(requestBody ? [`Body: ${bodyOf(requestBody)}`, ""] : []),
    "| status | body | |",
    "| --- | --- | --- |",
    ...answers,
    "",
  ]
}

function bodyOf({ content = {} }: Content): string {
  return Object.entries(content)
    .map(([type, { schema }]) => (schema?.$ref ? typeOf(schema) : `\`${type}\``))
    .join(", ")
}

function schemaText(name: string, schema: Schema): string[] {
  const required = new Set(schema.required ?? [])
  const rows = Object.entries(schema.properties ?? {}).map(([member, of]) => {
    const must = required.has(member) ? "yes" : ""
    return `| \`${member}\` | ${typeOf(of)} | ${must} | ${cell(of.description)} |`
  })
  const type = rows.length === 0 ? [`Type: ${typeOf({ ...schema, properties: {} })}`, ""] : []
  const table = ["| member | type | required | |", "| --- | --- | --- | --- |", ...rows, ""]
  return [`### ${name}`, "", schema.description ?? "", "", ...(rows.length > 0 ? table : type)]
}

function typeOf(schema: Schema | undefined): string {
  if (!schema) return ""
  if (schema.$ref) {
    // `#/components/schemas/NAME`, and of a member of it `/properties/MEMBER`.
    const [, , , name = "", , member] = schema.$ref.split("/")
    return `[${name}${member === undefined ? "" : `.${member}`}](#${name.toLowerCase()})`
  }
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(", ")
  if (schema.oneOf) return schema.oneOf.map(typeOf).join(" or ")
  if (schema.type === "array") return `list of ${typeOf(schema.items)}`
  return Array.isArray(schema.type) ? schema.type.join(" or ") : String(schema.type ?? "")
}

function resolved(api: OpenApi, ref: string): Schema {
  const [, , kind = "", name = ""] = ref.split("/")
  const found = api.components[kind]?.[name]
  if (!found) throw new Error(`openapi.yaml: ${ref} is not there`)
  return found
}

function cell(text = ""): string {
  return text.replaceAll("\n", " ").replaceAll("|", "\\|").trim()
}
