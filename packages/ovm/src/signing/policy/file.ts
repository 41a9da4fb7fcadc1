import { closeSync, lstatSync, openSync, readSync, statSync } from "node:fs"

/** The identity of what is not there. */
export const ABSENT = "absent"

/** What `path` leads to, as a text that changes whenever the file is replaced or rewritten. Throws nothing. */
export function fileIdentity(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // A link to nothing, or a folder that may not be looked into, may hide a policy: that is not the same as there being none.
    if (code === "ENOTDIR") return ABSENT
    return code === "ENOENT" && !isLink(path) ? ABSENT : String(code)
  }
}

function isLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

/** All bytes of a regular file; or, as the end of a sentence, why they cannot be had. */
export function readBounded(path: string, limit: number): Uint8Array | string {
  let file: number | undefined
  try {
    // Of a FIFO even the opening would wait.
    if (!statSync(path).isFile()) return "is not a regular file"
    file = openSync(path, "r")
    const bytes = new Uint8Array(limit + 1)
    let length = 0
    for (;;) {
      const read = readSync(file, bytes, length, bytes.length - length, null)
      length += read
      if (length > limit) return `is above ${limit} bytes`
      if (read === 0) return bytes.subarray(0, length)
    }
  } catch (error) {
    return `cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown reason"})`
  } finally {
    if (file !== undefined) closeSync(file)
  }
}
