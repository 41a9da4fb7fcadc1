import { invalid } from "../disk/file.ts"
import { type SourceFormat, sourceKind } from "./source.ts"
import type { TakenDisk } from "./taken.ts"
import { MOST_BYTES, toQcow2 } from "./to-qcow2.ts"
import { unpack } from "./unpack.ts"
import type { Work } from "./work.ts"

/**
 * Makes a qcow2 of the disk in the file `path`, which is called `label` and may be compressed, unless it was `unpacked`
 * before. Throws OVM_DISK_INVALID for what is no disk, or does not stand alone, and what unpack and toQcow2 throw.
 */
export async function takeDisk(
  path: string,
  { label, unpacked = false }: { readonly label: string; readonly unpacked?: boolean },
  work: Work,
): Promise<TakenDisk> {
  const kind = await sourceKind(path)
  if ("archive" in kind) throw invalid(path, "is an archive, and no disk")
  if ("format" in kind) return await converted(path, kind.format, { label, work })
  if (unpacked) throw invalid(path, `is compressed by ${kind.packing}, in what was compressed itself`)
  const inside = work.file(label)
  await unpack(path, kind.packing, { path: inside, most: MOST_BYTES }, work.call)
  return await takeDisk(inside, { label, unpacked: true }, work)
}

async function converted(
  from: string,
  format: SourceFormat,
  { label, work }: { readonly label: string; readonly work: Work },
): Promise<TakenDisk> {
  const path = work.file(label)
  const { remarks } = await toQcow2({ path: from, format }, path, work.call)
  return { path, format, remarks: remarks.map((remark) => remark.replaceAll(from, label)) }
}
