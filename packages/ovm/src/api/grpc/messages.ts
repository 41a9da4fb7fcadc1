import protobuf from "protobufjs/light.js"
import { OvmError } from "../../errors.ts"
import messages from "./generated/messages.json" with { type: "json" }

const ROOT = protobuf.Root.fromJSON(messages)

/** The bytes of the message `name`, as the JSON of the API. Throws OVM_REQUEST_INVALID. */
export function decode(name: string, bytes: Uint8Array): Record<string, unknown> {
  const type = typeOf(name)
  try {
    // What is not there stays away: an operation tells none from nothing.
    return type.toObject(type.decode(bytes), { longs: Number, defaults: false })
  } catch (cause) {
    throw new OvmError("OVM_REQUEST_INVALID", `this is no message ${name}: ${(cause as Error).message}`, {
      cause,
    })
  }
}

/** The message `name` of the JSON of the API; members that it does not have are left out. */
export function encode(name: string, value: object): Buffer {
  const type = typeOf(name)
  return Buffer.from(type.encode(type.fromObject(fitting(type, value))).finish())
}

function typeOf(name: string): protobuf.Type {
  return ROOT.lookupType(`ovms.v1.${name}`)
}

/** What may be anything is JSON in a string. */
function fitting(type: protobuf.Type, value: object): Record<string, unknown> {
  const members = value as Readonly<Record<string, unknown>>
  const fields = type.fieldsArray.filter(({ name }) => members[name] !== undefined && members[name] !== null)
  return Object.fromEntries(
    fields.map((field) => [field.name, fittingField(field.resolve(), members[field.name])]),
  )
}

function fittingField(field: protobuf.Field, value: unknown): unknown {
  const one = (value: unknown) => {
    if (field.resolvedType instanceof protobuf.Type) return fitting(field.resolvedType, value as object)
    return field.type === "string" && typeof value !== "string" ? JSON.stringify(value) : value
  }
  if (field instanceof protobuf.MapField)
    return Object.fromEntries(Object.entries(value as object).map(([key, value]) => [key, one(value)]))
  return field.repeated ? (value as readonly unknown[]).map(one) : one(value)
}
