import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { parse } from "yaml"
import { inlined, type JsonSchema, validatorsSource, validatorsTypes } from "./validators.ts"

interface Operation {
  readonly operationId: string
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { schema?: { $ref?: string } }>>
  }
  readonly responses: Readonly<
    Record<string, { content?: Readonly<Record<string, { schema?: { $ref?: string } }>> }>
  >
}

/**
 * What the conformance suite knows of the runtime API: a validator of every JSON answer, and for each operation its
 * ID, its status and the answer's name; and the schema of every JSON body that is asked with. Path → content.
 */
export async function generatedConformance(root: string): Promise<Record<string, string>> {
  const document = parse(await readFile(join(root, "spec/api/openapi.yaml"), "utf8")) as JsonSchema & {
    paths: Record<string, Record<string, Operation>>
    components: { schemas: Record<string, JsonSchema> }
  }
  const operations: Record<string, { id: string; status: number; schema?: string }> = {}
  const requests: Record<string, unknown> = {}
  const schemaOf = (name: string) => inlined(document.components.schemas[name] ?? {}, document)
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, { operationId: id, requestBody, responses }] of Object.entries(methods)) {
      const [status = "", response] = Object.entries(responses).find(([key]) => key.startsWith("2")) ?? []
      const schema = response?.content?.["application/json"]?.schema?.$ref?.split("/").at(-1)
      operations[`${method.toUpperCase()} ${path}`] = {
        id,
        status: Number(status),
        ...(schema && { schema }),
      }
      const asked = requestBody?.content["application/json"]?.schema?.$ref?.split("/").at(-1)
      if (asked) requests[`${method.toUpperCase()} ${path}`] = withoutWords(schemaOf(asked))
    }
  const names = new Set(["Errors", "Event", "LogLine"])
  for (const { schema } of Object.values(operations)) if (schema) names.add(schema)
  const schemas = Object.fromEntries([...names].sort().map((name) => [name, schemaOf(name)]))
  const into = "packages/conformance/src/generated"
  return {
    [`${into}/answers.js`]: validatorsSource(schemas),
    [`${into}/answers.d.ts`]: validatorsTypes([...names].sort()),
    [`${into}/operations.json`]: `${JSON.stringify(operations, undefined, 2)}\n`,
    [`${into}/requests.json`]: `${JSON.stringify(requests, undefined, 2)}\n`,
  }
}

/** A schema without its descriptions, where these are words: a member may be called so. */
function withoutWords(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(withoutWords)
  if (typeof node !== "object" || node === null) return node
  const kept = Object.entries(node).filter(
    ([key, value]) => key !== "description" || typeof value === "object",
  )
  return Object.fromEntries(kept.map(([key, value]) => [key, withoutWords(value)]))
}
