import { readdirSync, statSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import type { Identity } from "./identity.ts"

const LOOK_MS = 2000

/**
 * Settles with true once one of `folders`, each of which the process has open, is not at its path any more: removed, in
 * another place, or another one in its stead. With false after `signal`, and where nobody can tell what the process has
 * open. Does not keep this process alive.
 */
export async function losesFolder(
  { pid }: Identity,
  folders: readonly string[],
  signal: AbortSignal,
): Promise<boolean> {
  const open = foldersOf(pid)
  if (open.size === 0) return false
  while (!signal.aborted) {
    if (folders.some((folder) => !open.has(nameOf(folder) ?? ""))) return true
    await sleep(LOOK_MS, undefined, { ref: false, signal }).catch(() => {})
  }
  return false
}

function foldersOf(pid: number): ReadonlySet<string> {
  const path = `/proc/${pid}/fd`
  try {
    const names = readdirSync(path).map((fd) => nameOf(`${path}/${fd}`))
    return new Set(names.filter((name) => name !== undefined))
  } catch {
    return new Set()
  }
}

/** By which the kernel tells a folder from others; undefined for what is none. */
function nameOf(path: string): string | undefined {
  try {
    const found = statSync(path, { bigint: true })
    return found.isDirectory() ? `${found.dev}:${found.ino}` : undefined
  } catch {
    return undefined
  }
}
