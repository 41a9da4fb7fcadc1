import { resolve } from "node:path"
import type { Vmm } from "../vmm.ts"
import { outside } from "./index.ts"

/** Where the examples are: on the PATH of whoever loads this. */
export const EXAMPLES = resolve(import.meta.dir, "../../../../../examples/adapters/python")

/** The adapter for the common suite: the example in Python, unless its author names another one. */
export const ADAPTER = process.env.OVM_ADAPTER ?? "pyqemu"

export function adapter(_cacheFolder: string): Vmm {
  if (!process.env.PATH?.includes(EXAMPLES)) process.env.PATH = `${process.env.PATH}:${EXAMPLES}`
  return outside(ADAPTER)
}
