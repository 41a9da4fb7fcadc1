import { existsSync, rmSync, writeFileSync } from "node:fs"
import { isNoRoom } from "../../files/lines.ts"
import type { LayoutFiles } from "./files.ts"

/** As much as an index of two hundred names needs. */
const SIZE = 64 << 10

/**
 * Room that is set aside, so that on a full disk names can still be removed, which needs a new index
 * (docs/design/0003). Where there is no room for it now, or nobody may write, there is none.
 */
export function keepReserve({ reserve }: LayoutFiles): void {
  if (existsSync(reserve)) return
  try {
    // Zeros would take no room on a file system that compresses.
    writeFileSync(reserve, crypto.getRandomValues(new Uint8Array(SIZE)), { mode: 0o600, flag: "wx" })
  } catch {
    rmSync(reserve, { force: true })
  }
}

/** Does `work`, and on a full disk once more with the room that was set aside. */
export async function withReserve<T>({ reserve }: LayoutFiles, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isNoRoom(error) || !existsSync(reserve)) throw error
    rmSync(reserve, { force: true })
    return await work()
  }
}
