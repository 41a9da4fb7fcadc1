import { OvmError } from "../../errors.ts"

/** An instance of a project, by the name that its machine has in the file. */
export interface MachineOf {
  readonly machine: string
  readonly id: string
}

/** What was thrown about an instance of a project, told of its machine. */
export function ofMachine(thrown: unknown, { machine, id }: MachineOf): unknown {
  if (!(thrown instanceof OvmError) || !thrown.message.includes(id)) return thrown
  const { code, message, detail, hint } = thrown
  if (code === "OVM_INSTANCE_UNKNOWN")
    return new OvmError(code, `machine ${machine} has been removed meanwhile`, {
      cause: thrown,
      detail,
      hint: "ovm up makes it again",
    })
  const named = message.replaceAll(`instance ${id}`, `machine ${machine}`).replaceAll(id, machine)
  return new OvmError(code, named, { cause: thrown, detail, ...(hint !== undefined && { hint }) })
}
