import { spawnSync } from "node:child_process"

/** Why tests cannot see what of a file is in memory; empty if they can. */
export const fincoreMissing = Bun.which("fincore") ? "" : "(skipped: fincore is not installed)"

/** Bytes of the file that are in memory. */
export function resident(path: string): number {
  const { stdout } = spawnSync("fincore", ["--bytes", "--raw", "--noheadings", "--output", "RES", path], {
    encoding: "utf8",
  })
  return Number(stdout.trim())
}

/** Takes the file out of memory, where its file system can do without: dd knows how. */
export function evict(path: string): void {
  spawnSync("dd", [`of=${path}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"])
}
