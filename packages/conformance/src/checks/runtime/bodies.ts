import { isDeepStrictEqual } from "node:util"
import { must } from "../../check.ts"
import requests from "../../generated/requests.json" with { type: "json" }
import { errorOf, OPERATIONS } from "../../subject/answers.ts"
import { type Breach, breachesOf, type Schema } from "./breaches.ts"
import type { Plan } from "./plan.ts"

const SCHEMAS = requests as Readonly<Record<string, Schema>>
const NO_OBJECTS = ["{", "{}{}", "nothing", "[]", "null", '"x"', "\xff"]

function profileOf(id: string): NonNullable<Plan["profile"]> {
  if (/^(exec|sandbox)/.test(id)) return "agent"
  return /^(snapshot|warm|fork)$/.test(id) ? "snapshot" : "core"
}

/** What several operations are asked with has most likely one reader: of all but the first each eighth is sent. */
const EACH = 8

function sentTo(operation: string, manifest: string, instance: string): readonly Breach[] {
  const schema = SCHEMAS[operation] ?? {}
  const all = breachesOf(schema, baseOf(operation, manifest, instance))
  const first = Object.keys(SCHEMAS).find((other) => isDeepStrictEqual(SCHEMAS[other], schema))
  return first === operation || all.length < EACH ? all : all.filter((_, at) => at % EACH === 0)
}

/** What a body of the operation cannot be without. */
function baseOf(operation: string, manifest: string, instance_id: string): Readonly<Record<string, unknown>> {
  const known: Readonly<Record<string, unknown>> = {
    manifest,
    instance_id,
    name: operation.endsWith("/commit") ? "localhost/suite-bodies:1" : "suite-bodies",
    tag: "suite-bodies",
    command: ["true"],
    size: 1 << 20,
    guest: 80,
    slots: 0,
  }
  const { required = [] } = SCHEMAS[operation] ?? {}
  return Object.fromEntries(required.map((name) => [name, known[name]]))
}

function coveredBy(operation: string, schema: Schema): readonly string[] {
  const all = sentTo(operation, "", "").map(({ requirement }) => requirement)
  return [...new Set([...all, schema["x-requirement"] ?? "OVMS-API-012"])].sort()
}

/** All that the schema of each operation's body forbids, from just outside of its bounds (OVMS-API-011, 012). */
export const bodyPlans: readonly Plan[] = Object.entries(SCHEMAS).map(([operation, schema]) => {
  const id = OPERATIONS[operation]?.id ?? ""
  return {
    name: `bodies/${id}`,
    profile: profileOf(id),
    covers: coveredBy(operation, schema),
    async run({ runtime, create }) {
      const ofOne = operation.includes("{") || schema.required?.includes("instance_id")
      const instance = ofOne ? await create() : ""
      const [method = "", path = ""] = operation.replace("{instance_id}", instance).split(" ")
      const query = /\/exec\/(control|stream)$/.test(path) ? "attachment=suite" : undefined
      const refused = async (what: string, body: unknown) => {
        const reply = await runtime.raw(method, path, { body, ...(query !== undefined && { query }) })
        must(reply.status >= 400, `${operation}, ${what}: the answer is ${reply.status}, and no refusal`)
        const { code, message } = errorOf(`${operation}, ${what}`, reply)
        must(code === "OVM_REQUEST_INVALID", `${operation}, ${what}: it is refused with ${code}: ${message}`)
        return message
      }
      for (const text of NO_OBJECTS) await refused(`a body that is ${text}`, Buffer.from(text, "latin1"))
      for (const { what, body, names } of sentTo(operation, runtime.guest, instance)) {
        const message = await refused(what, body)
        const named = names.length === 0 || message.includes((names.at(-1) ?? "").slice(0, 20))
        must(named, `${operation}, ${what}: the message does not say of what: ${message.slice(0, 300)}`)
      }
    },
  }
})
