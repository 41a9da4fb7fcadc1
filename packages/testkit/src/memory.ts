import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Why tests cannot see what of a file is in memory, or have it anywhere else; empty if they can. */
export const fincoreMissing = Bun.which("fincore") ? alwaysResident() : "(skipped: fincore is not installed)"
if (fincoreMissing) console.log(`SKIP read ahead: ${fincoreMissing}`)

function alwaysResident(): string {
  const folder = mkdtempSync(join(tmpdir(), "ovm-resident-"))
  try {
    const path = join(folder, "file")
    writeFileSync(path, Buffer.alloc(1 << 20, 1))
    evict(path)
    return resident(path) < 1 << 20 ? "" : `(skipped: files in ${tmpdir()} are always in memory)`
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** Bytes of the file that are in memory. */
export function resident(path: string): number {
  const { stdout } = spawnSync("fincore", ["--bytes", "--raw", "--noheadings", "--output", "RES", path], {
    encoding: "utf8",
  })
  return Number(stdout.trim())
}

/**
 * Bytes that this process has had read from disks, ahead or not (`read_bytes` of proc_pid_io(5)). Other than what is
 * resident it never becomes less: a kernel may drop at once what it has read.
 */
export function readFromDisks(): number {
  return Number(/^read_bytes: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1])
}

/** Takes the file out of memory, where its file system can do without: dd knows how. */
export function evict(path: string): void {
  spawnSync("dd", [`of=${path}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"])
}
