import { FORMAT_ANNOTATION } from "../artifact/machine/manifest.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { LocalFile } from "../content/interfaces.ts"
import { sparsenessOf } from "../disk/as-qcow2.ts"
import { formatSize } from "./format.ts"

/** Worth a word from here on: a quarter of the disk, and so many bytes. */
const WORTH = 1024 * 1024

/**
 * What the raw disks among `files` would save as qcow2, each in a sentence, if that is worth one. Asked of their
 * copies in `store`, which have holes wherever there are zeros. A raw disk is sent whole, zeros and all.
 */
export async function savedAsQcow2(
  files: readonly { readonly path: string; readonly descriptor: Descriptor }[],
  store: LocalFile,
): Promise<string[]> {
  const remarks: string[] = []
  for (const { path, descriptor } of files) {
    const stored =
      descriptor.annotations?.[FORMAT_ANNOTATION] === "raw" ? await store.path(descriptor) : undefined
    if (stored === undefined) continue
    const { size, data, qcow2 } = await sparsenessOf(stored)
    if (qcow2 > size * 0.75 || size - qcow2 < WORTH) continue
    remarks.push(
      `${path}: ${formatSize(size)}, ${formatSize(data)} of it data: as qcow2 it would be ${formatSize(qcow2)}: ` +
        `qemu-img convert -O qcow2 ${path} disk.qcow2`,
    )
  }
  return remarks
}
