import { spawnSync } from "node:child_process"
import { closeSync, openSync, rmSync, writeSync } from "node:fs"
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { skip } from "../check.ts"

/** A file system of its own that can be full. */
export class SmallDisk {
  private constructor(readonly folder: string) {}

  /** Mounts one of that many bytes at the folder as long as `use` takes; skips where nothing can be mounted. */
  static async at(folder: string, bytes: number, use: (disk: SmallDisk) => Promise<void>): Promise<void> {
    await mkdir(folder, { recursive: true })
    const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${bytes},mode=700`, "tmpfs", folder])
    if (status !== 0) skip("no file system of its own can be mounted on this host")
    try {
      await use(new SmallDisk(folder))
    } finally {
      spawnSync("umount", ["-l", folder])
    }
  }

  /** Takes all room that there is, to the last byte. */
  fill(): void {
    const file = openSync(this.#ballast, "a")
    for (let size = 1 << 20; size > 0; )
      try {
        writeSync(file, Buffer.alloc(size, 1))
      } catch {
        size >>= 1
      }
    closeSync(file)
  }

  /** Gives it back. */
  free(): void {
    rmSync(this.#ballast, { force: true })
  }

  get #ballast(): string {
    return join(this.folder, "ballast")
  }
}
