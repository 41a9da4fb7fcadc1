import { resolve } from "node:path"
import type { Vmm } from "../vmm.ts"
import { exec } from "./index.ts"

/** Where the examples are: on the PATH of whoever loads this. */
export const EXAMPLES = resolve(import.meta.dir, "../../../../../examples/adapters/python")

/** The example in Python, for the common suite. */
export function pyqemu(_cacheFolder: string): Vmm {
  if (!process.env.PATH?.startsWith(EXAMPLES)) process.env.PATH = `${EXAMPLES}:${process.env.PATH}`
  return exec("pyqemu")
}
