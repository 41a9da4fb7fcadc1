import { readFileSync } from "node:fs"
import path from "../../../../shim/dist/ovm-keeper" with { type: "file" }
import { sealedFile } from "../../host/libc.ts"

let program: number | undefined

/**
 * The keeper's program (packages/shim), open, sealed and ready to be executed: in memory, so that it can be started
 * wherever this program is, and nobody can change it. One for all machines. Throws OVM_HOST_FAILED.
 */
export function keeperProgram(): number {
  program ??= sealedFile(KEEPER, readFileSync(path))
  return program
}

/** The name by which keepers go in `ps`, and are known. */
export const KEEPER = "ovm-keeper"
