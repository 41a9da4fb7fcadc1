import type { Call } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import type { InstanceInfo, Runtime } from "./interfaces.ts"

/** What a status of the instance `id` says; undefined for one that is not on record, such as one just removed. */
export async function statusIfThere(
  runtime: Pick<Runtime, "status">,
  id: string,
  call: Call = {},
): Promise<InstanceInfo | undefined> {
  try {
    return await runtime.status(id, call)
  } catch (thrown) {
    if (thrown instanceof OvmError && thrown.code === "OVM_INSTANCE_UNKNOWN") return undefined
    throw thrown
  }
}
