import { OvmError } from "../errors.ts"

/** OVM_RAM_INVALID, naming what of the RAM is wrong. */
export function malformedRam(reason: string, requirement = "OVMS-SNP-044", cause?: unknown): OvmError {
  return new OvmError("OVM_RAM_INVALID", `the RAM of the snapshot: ${reason} [${requirement}]`, {
    detail: { requirement },
    ...(cause !== undefined && { cause }),
  })
}
