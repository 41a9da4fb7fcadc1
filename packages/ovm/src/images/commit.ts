import { rm } from "node:fs/promises"
import { writeFurther } from "../artifact/machine/further.ts"
import { DISK_TYPE } from "../artifact/machine/manifest.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import { openLayout } from "../content/layout/store.ts"
import { writeCompact } from "../disk/compact.ts"
import type { OpenImage } from "./open.ts"

/** What was written since the image, as files of overlays. */
export interface Written {
  /** To the first disk, the lowest first. */
  readonly first: readonly string[]
  /** To each further disk that was written to, by its name. */
  readonly disks: ReadonlyMap<string, string>
}

/**
 * Stores the machine of `opened` in the layout at `root` with what is in `written` as one more layer of each disk; it
 * has no name yet, the lease holds it, and `size` is that of the layers, in bytes. Each layer is written to the new
 * file `file` first. Throws as writeCompact and writeFurther do.
 */
export async function commitMachine(
  root: string,
  opened: OpenImage,
  { written, file, lease }: { readonly written: Written; readonly file: string; readonly lease: string },
  call: Call = {},
): Promise<{ readonly descriptor: Descriptor; readonly size: number }> {
  const { layers, disks } = opened.image
  await using store = await openLayout(root)
  const layerOf = async (overlays: readonly string[], below: typeof layers) => {
    try {
      await writeCompact(overlays, below, file, call)
      return await store.ingestFile(file, DISK_TYPE, call)
    } finally {
      await rm(file, { force: true })
    }
  }
  const added = written.first.length > 0 ? [await layerOf(written.first, layers)] : []
  const further = new Map<string, Descriptor>()
  for (const { name, layers } of disks) {
    const overlay = written.disks.get(name)
    if (overlay !== undefined) further.set(name, await layerOf([overlay], layers))
  }
  const created = new Date().toISOString()
  const { descriptor } = await writeFurther(store, opened.machine, { added, disks: further, created }, call)
  await store.lease(lease).add(descriptor)
  const size = [...added, ...further.values()].reduce((sum, layer) => sum + layer.size, 0)
  return { descriptor, size }
}
