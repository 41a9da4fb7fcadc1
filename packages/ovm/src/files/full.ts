import { statfsSync } from "node:fs"

/**
 * Why nothing more can be put into the folder: its file system has no room, or no inode, left; undefined where neither
 * is seen. The system says the same of both.
 */
export function fullness(folder: string): string | undefined {
  try {
    const { bavail, files, ffree } = statfsSync(folder)
    if (files > 0 && ffree === 0) return "no inode is left on its file system"
    return bavail === 0 ? "no space left on device" : undefined
  } catch {
    return undefined
  }
}
