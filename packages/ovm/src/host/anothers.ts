import { statSync } from "node:fs"
import { dirname } from "node:path"

/**
 * Whether the file or folder `path`, or where it would be made, is another user's although this one, root, may write
 * there. Of others the kernel decides.
 */
export function isAnothers(path: string): boolean {
  if (process.geteuid?.() !== 0) return false
  try {
    return statSync(path).uid !== 0
  } catch {
    return dirname(path) !== path && isAnothers(dirname(path))
  }
}
