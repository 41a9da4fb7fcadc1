import { statSync } from "node:fs"
import type { OvmError } from "../../errors.ts"
import { hasEntry } from "../../files/present.ts"
import { readRegularSync } from "../../files/regular.ts"

/** The identity of what is not there. */
export const ABSENT = "absent"

/** What `path` leads to, as a text that changes whenever the file is replaced or rewritten. Throws nothing. */
export function fileIdentity(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // A link to nothing, or a folder that may not be looked into, may hide a policy: that is not the same as there
    // being none.
    if (code === "ENOTDIR") return ABSENT
    return code === "ENOENT" && !hasEntry(path) ? ABSENT : String(code)
  }
}

/** All bytes of a regular file; or, as the end of a sentence, why they cannot be had. */
export function readBounded(path: string, limit: number): Uint8Array | string {
  try {
    return readRegularSync(path, limit)
  } catch (error) {
    const { code, cause } = error as OvmError
    if (code === "OVM_TOO_LARGE") return `is above ${limit} bytes`
    const system = (cause as NodeJS.ErrnoException | undefined)?.code
    return system === undefined ? "is not a regular file" : `cannot be read (${system})`
  }
}
