import { fail, must } from "../check.ts"
import { codes } from "../errors.ts"
import * as validators from "../generated/answers.js"
import operations from "../generated/operations.json" with { type: "json" }
import type { Reply } from "./exchange.ts"

export interface ApiError {
  readonly code: string
  readonly message: string
  readonly detail?: unknown
}

/** By method and path of spec/api/openapi.yaml. */
export const OPERATIONS: Readonly<
  Record<string, { readonly id: string; readonly status: number; readonly schema?: string }>
> = operations

/** Fails unless `value` satisfies the schema of the OpenAPI file. */
export function satisfies(schema: string, value: unknown, what: string): void {
  const validate = (validators as unknown as Record<string, typeof validators.Errors>)[schema]
  if (!validate) throw new Error(`there is no schema ${schema}`)
  if (validate(value)) return
  const [first] = validate.errors ?? []
  fail(`${what}: the answer is no ${schema}: ${first?.instancePath || "it"} ${first?.message}`)
}

/** What a good answer says (OVMS-API-010). */
export function goodValue(operation: string, reply: Reply): unknown {
  const { status, schema } = OPERATIONS[operation] ?? fail(`${operation} is no operation`)
  must(reply.status === status, `${operation}: the status is ${reply.status}, and not ${status}`)
  if (schema === undefined) return reply.text
  isOfType(reply, "application/json", operation)
  const value = parsedJson(reply.text, operation)
  satisfies(schema, value, operation)
  return value
}

/** The first error of a refusal, which is as spec/errors.md says (OVMS-ERR-001, -002, -003, -008). */
export function errorOf(what: string, reply: Reply): ApiError {
  isOfType(reply, "application/json", what)
  const value = parsedJson(reply.text, what)
  satisfies("Errors", value, what)
  const { errors } = value as { errors: readonly ApiError[] }
  for (const { code, message } of errors) {
    must(codes[code], `${what}: ${code} is not a code of spec/errors.json`)
    must(!/\n\s+at .*:\d+/.test(message), `${what}: the message has a stack trace`)
  }
  const [first] = errors
  must(first, `${what}: the array errors is empty`)
  const wanted = codes[first.code]?.http
  must(reply.status === wanted, `${what}: the status is ${reply.status}; that of ${first.code} is ${wanted}`)
  return first
}

/** Fails unless the header says that the answer is of this type, whatever it says besides. */
export function isOfType({ headers }: Reply, type: string, what: string): void {
  const found = String(headers["content-type"] ?? "nothing")
  const [named = ""] = found.split(";")
  must(named.trim().toLowerCase() === type, `${what}: the Content-Type is ${found}, and not ${type}`)
}

function parsedJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    fail(`${what}: the answer is no JSON: ${text.trim().slice(0, 200) || "nothing"}`)
  }
}
