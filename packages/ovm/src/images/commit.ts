import { fileBytes } from "../artifact/blob.ts"
import { writeFurther } from "../artifact/machine/further.ts"
import { DISK_TYPE, VARIABLES_TYPE } from "../artifact/machine/manifest.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import { openLayout } from "../content/layout/store.ts"
import { parseLinks } from "../content/manifest.ts"
import { fetchAll } from "../content/read.ts"
import { withCompact } from "../disk/compact.ts"
import type { OpenImage } from "./open.ts"

/** What was written since the image, as files of overlays. */
export interface Written {
  /** To the first disk, the lowest first. */
  readonly first: readonly string[]
  /** The same of each further disk that was written to, by its name. */
  readonly disks: ReadonlyMap<string, readonly string[]>
  /** The flash of its UEFI firmware. */
  readonly variables?: string
}

/**
 * Stores the machine of `opened` in the layout at `root` with what is in `written` as one more layer of each disk; it
 * has no name yet, the lease holds it, and `size` is that of the layers, in bytes. Throws as withCompact and
 * writeFurther do.
 */
export async function commitMachine(
  root: string,
  opened: OpenImage,
  { written, lease }: { readonly written: Written; readonly lease: string },
  call: Call = {},
): Promise<{ readonly descriptor: Descriptor; readonly size: number }> {
  const { layers, disks } = opened.image
  await using store = await openLayout(root)
  const layerOf = (overlays: readonly string[], below: typeof layers) =>
    withCompact(overlays, below, (content) => store.ingest(content, DISK_TYPE, call), call)
  const added = written.first.length > 0 ? [await layerOf(written.first, layers)] : []
  const further = new Map<string, readonly Descriptor[]>()
  for (const { name, layers } of disks) {
    const overlays = written.disks.get(name) ?? []
    if (overlays.length > 0) further.set(name, [await layerOf(overlays, layers)])
  }
  const { variables: flash } = written
  const variables = flash && (await store.ingest(fileBytes(flash, call), VARIABLES_TYPE, call))
  const created = new Date().toISOString()
  const additions = { added, disks: further, created, ...(variables && { variables }) }
  const { descriptor } = await writeFurther(store, opened.machine, additions, call)
  // Of nobody else could it be had again, as the image that its lower layers were pulled of.
  const made = await fetchAll(store, descriptor, undefined, call)
  await store.settle(parseLinks(made, descriptor.digest).children, call)
  await store.lease(lease, false).add(descriptor)
  const size = [...added, ...[...further.values()].flat(), ...(variables ? [variables] : [])].reduce(
    (sum, layer) => sum + layer.size,
    0,
  )
  return { descriptor, size }
}
