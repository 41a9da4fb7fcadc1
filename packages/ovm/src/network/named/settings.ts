import { readFileSync, writeFileSync } from "node:fs"
import { OvmError } from "../../errors.ts"

/** Has a setting of the kernel, in /proc/sys, be `value`. One that it does not have, as without IPv6, needs none. */
export function setting(name: string, value: string): void {
  try {
    if (read(name) !== value) writeFileSync(pathOf(name), value)
  } catch (cause) {
    if (isMissing(cause)) return
    throw new OvmError("OVM_HOST_FAILED", `${pathOf(name)} could not be set to ${value}`, { cause })
  }
}

/** Undefined for one that the kernel does not have. */
export function settingNow(name: string): string | undefined {
  try {
    return read(name)
  } catch (thrown) {
    if (isMissing(thrown)) return undefined
    throw thrown
  }
}

const pathOf = (name: string): string => `/proc/sys/${name}`
const read = (name: string): string => readFileSync(pathOf(name), "utf8").trim()

function isMissing(thrown: unknown): boolean {
  return (thrown as NodeJS.ErrnoException).code === "ENOENT"
}
