import { OvmError } from "../errors.ts"
import type { InstanceInfo } from "../runtime/interfaces.ts"

/** A label that instances are to have; with any value where none is said. */
export interface LabelFilter {
  readonly name: string
  readonly value?: string
}

/** Of `--filter label=NAME[=VALUE]`, which may be given again. Throws OVM_USAGE. */
export function collectFilter(text: string, before: readonly LabelFilter[] = []): readonly LabelFilter[] {
  const [kind, name = "", ...value] = text.split("=")
  if (kind !== "label" || name === "")
    throw new OvmError("OVM_USAGE", `--filter ${JSON.stringify(text)} is not label=NAME or label=NAME=VALUE`)
  return [...before, { name, ...(value.length > 0 && { value: value.join("=") }) }]
}

export function hasLabel({ labels }: InstanceInfo, { name, value }: LabelFilter): boolean {
  const found = labels && Object.hasOwn(labels, name) ? labels[name] : undefined
  return value === undefined ? found !== undefined : found === value
}
