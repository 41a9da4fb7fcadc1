import { excerpt } from "../../artifact/faults.ts"
import type { Condition } from "./document.ts"

/** Why `predicate` does not satisfy all conditions (OVMS-POL-052 to OVMS-POL-054); undefined if it does. */
export function conditionRefusal(predicate: unknown, conditions: readonly Condition[]): string | undefined {
  for (const condition of conditions) {
    const reason = refusal(valueAt(predicate, condition.pointer), condition)
    if (reason !== undefined) return `${condition.pointer || "the predicate"} ${reason}`
  }
  return undefined
}

function refusal(found: { value: unknown } | undefined, { exists, equals, in: oneOf }: Condition) {
  if (exists !== undefined) {
    if (exists === (found !== undefined)) return undefined
    return exists ? "is not there" : "is there"
  }
  const wanted = oneOf ?? [equals]
  if (!found) return "is not there"
  if (wanted.some((value) => value === found.value)) return undefined
  return `is ${excerpt(found.value)}, not ${oneOf ? "one of those allowed" : excerpt(equals)}`
}

/**
 * The value at a JSON pointer (RFC 6901). Members that JavaScript gives every object, such as `constructor`, do not
 * count.
 */
function valueAt(root: unknown, pointer: string): { value: unknown } | undefined {
  let value = root
  for (const token of pointer.split("/").slice(1)) {
    const name = token.replaceAll("~1", "/").replaceAll("~0", "~")
    if (Array.isArray(value)) {
      if (!/^(0|[1-9][0-9]*)$/.test(name) || Number(name) >= value.length) return undefined
      value = value[Number(name)]
    } else if (typeof value === "object" && value !== null && Object.hasOwn(value, name))
      value = (value as Record<string, unknown>)[name]
    else return undefined
  }
  return { value }
}
