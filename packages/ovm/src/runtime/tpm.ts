import { existsSync } from "node:fs"
import { join } from "node:path"
import { OvmError } from "../errors.ts"

/** Where a machine's TPM keeps its state, in the instance's directory. */
export function tpmState(directory: string): string {
  return join(directory, "tpm")
}

/** Throws OVM_UNSUPPORTED for a machine that has a TPM (OVMS-UEF-034). */
export function refuseTpm({ directory }: { readonly directory: string }): void {
  if (!existsSync(tpmState(directory))) return
  throw new OvmError(
    "OVM_UNSUPPORTED",
    "the machine has a TPM, whose keys and secrets would be in its snapshot, and in each clone of it",
    { detail: [{ pointer: "/metadata/platform/tpm", reason: "a TPM is not snapshotted" }] },
  )
}
