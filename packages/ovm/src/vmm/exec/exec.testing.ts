import { resolve } from "node:path"
import type { Vmm } from "../vmm.ts"
import { outside } from "./index.ts"

const ROOT = resolve(import.meta.dir, "../../../../..")
/** Where the examples are, and what runs the one in TypeScript: on the PATH of whoever loads this. */
const FOLDERS = ["examples/adapters/python", "examples/adapters/typescript", "node_modules/.bin"]

/** The adapter for the common suite: the example in Python, unless its author names another one. */
export const ADAPTER = process.env.OVM_ADAPTER ?? "pyqemu"

function onPath(name: string): Vmm {
  const added = FOLDERS.map((folder) => resolve(ROOT, folder)).join(":")
  if (!process.env.PATH?.includes(added)) process.env.PATH = `${process.env.PATH}:${added}`
  return outside(name)
}

export function adapter(_cacheFolder: string): Vmm {
  return onPath(ADAPTER)
}

/** The example in TypeScript. */
export function microvm(_cacheFolder: string): Vmm {
  return onPath("microvm")
}
