import { spawnSync } from "node:child_process"
import { mkdirSync, readFileSync } from "node:fs"

/** Bit 21 of the effective capabilities is CAP_SYS_ADMIN (capabilities(7)). */
const [, capabilities = "0"] = /^CapEff:\s+(\w+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? []

/** Why no file system can be mounted here; empty if one can. Tests that need it skip and print this. */
export const mountMissing =
  (BigInt(`0x${capabilities}`) >> 21n) & 1n ? "" : "(skipped: a tmpfs cannot be mounted here)"

/**
 * A file system of its own at `path`, with room for `size` bytes, and `inodes` files: so that it can be full.
 * Unmounted with all in it in the end.
 */
export async function withTmpfs<T>(
  path: string,
  size: number,
  work: () => Promise<T>,
  inodes?: number,
): Promise<T> {
  mkdirSync(path, { recursive: true })
  const mount = spawnSync("mount", [
    "-t",
    "tmpfs",
    "-o",
    `size=${size}${inodes === undefined ? "" : `,nr_inodes=${inodes}`}`,
    "tmpfs",
    path,
  ])
  if (mount.status !== 0) throw new Error(mount.stderr.toString())
  try {
    return await work()
  } finally {
    spawnSync("umount", ["-l", path])
  }
}
