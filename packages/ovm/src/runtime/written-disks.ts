import { existsSync } from "node:fs"
import type { Call } from "../content/interfaces.ts"
import type { OpenImage } from "../images/open.ts"
import type { PreparedDisk } from "../images/prepared.ts"
import { furtherOverlay } from "./disks.ts"
import type { Lineage, WrittenDisk } from "./record.ts"

/** What was written to the further disk `name` of an instance in `directory`. */
export function writtenDisk(
  directory: string,
  { disks = [] }: Pick<Lineage, "disks">,
  name: string,
): WrittenDisk & { readonly top: string } {
  const { overlays = [], top = furtherOverlay(directory, name) } =
    disks.find((one) => one.name === name) ?? {}
  return { name, overlays, top }
}

/** Where the guest's writes go by now, of further disks of which a snapshot was taken. */
export function furtherTops({ disks = [] }: Pick<Lineage, "disks">): ReadonlyMap<string, string> {
  return new Map(disks.flatMap(({ name, top }) => (top === undefined ? [] : [[name, top] as const])))
}

/**
 * Further disks of the image, with what was written to each until its last snapshot. Throws as OpenImage.overlays does.
 */
export async function disksNow(
  opened: OpenImage,
  { disks = [] }: Pick<Lineage, "disks">,
  call: Call,
): Promise<readonly PreparedDisk[]> {
  return await Promise.all(
    opened.image.disks.map(async (disk) => {
      const { overlays = [] } = disks.find(({ name }) => name === disk.name) ?? {}
      return overlays.length === 0 ? disk : { ...disk, written: await opened.overlays(overlays, call) }
    }),
  )
}

/**
 * The files of all that was written to each further disk since the image, the lowest first, by name; those that nothing
 * was written to are not in it. Throws as OpenImage.overlays does.
 */
export async function writtenSince(
  directory: string,
  lineage: Lineage,
  opened: OpenImage,
  call: Call,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>()
  for (const { name } of opened.image.disks) {
    const { overlays, top } = writtenDisk(directory, lineage, name)
    const all = await opened.overlays(existsSync(top) ? [...overlays, top] : overlays, call)
    if (all.length > 0)
      found.set(
        name,
        all.map(({ path }) => path),
      )
  }
  return found
}
