import { OvmError } from "../errors.ts"
import { isTerminal, printError } from "./output.ts"

/**
 * Asks on the terminal; with `silent` what is typed is not shown. Throws OVM_USAGE where there is none, with
 * `missing`, which says what would have made asking needless, and a hint; OVM_INTERRUPTED if it is cancelled.
 */
export async function ask(prompt: string, missing: string, hint: string, silent = false): Promise<string> {
  if (!isTerminal("stdin"))
    throw new OvmError("OVM_USAGE", `standard input is not a terminal to ask on, and ${missing}`, { hint })
  const { read } = await import("read")
  try {
    return await read({ prompt, silent, output: process.stderr })
  } catch (cause) {
    throw new OvmError("OVM_INTERRUPTED", `"${prompt.trim()}" was cancelled`, { cause })
  } finally {
    if (silent) printError("\n")
  }
}
