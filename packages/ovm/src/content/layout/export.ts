import { existsSync, readdirSync, rmSync } from "node:fs"
import { resolve as absolute, dirname } from "node:path"
import { guarded } from "../../files/guarded.ts"
import { tryLock } from "../../host/lock.ts"
import { LayoutFiles } from "./files.ts"
import { type LayoutStore, openLayout } from "./store.ts"

/**
 * Opens the OCI image layout at `root`, made if absent, for `work`, which copies something into it for others: what is
 * this program's own in it (locks, leases, what was verified) is gone afterwards, unless it was there before or
 * somebody uses it. Throws what openLayout and `work` throw.
 */
export async function withExported<T>(root: string, work: (store: LayoutStore) => Promise<T>): Promise<T> {
  const files = new LayoutFiles(absolute(root))
  const own = dirname(files.lock)
  const before = existsSync(own)
  try {
    await using store = await openLayout(root, { create: true })
    return await work(store)
  } finally {
    if (!before) await guarded(async () => removeOwn(files, own))
  }
}

function removeOwn(files: LayoutFiles, own: string): void {
  if (!existsSync(files.lock)) return
  using held = tryLock(files.lock, "exclusive")
  if (!held) return
  const used = [files.leases, files.ingest].some((path) => existsSync(path) && readdirSync(path).length > 0)
  if (!used) rmSync(own, { recursive: true, force: true })
}
