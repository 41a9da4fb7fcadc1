import { rm } from "node:fs/promises"
import { invalid, withDisk } from "../disk/file.ts"
import { isPlainQcow2 } from "../disk/plain.ts"
import { snapshotsIn } from "./qcow2.ts"
import { sourceKind } from "./source.ts"
import type { TakenDisk } from "./taken.ts"
import { type DiskSource, MOST_BYTES, refuseDamaged, toQcow2 } from "./to-qcow2.ts"
import { unpack } from "./unpack.ts"
import type { Work } from "./work.ts"
import { writeAlone } from "./write.ts"

/**
 * Makes a qcow2 of the disk in the file `path`, which is called `label` and may be compressed, unless it was `unpacked`
 * before. Throws OVM_DISK_INVALID for what is no disk, or does not stand alone, and what unpack, toQcow2 and
 * writeAlone throw.
 */
export async function takeDisk(
  path: string,
  { label, unpacked = false }: { readonly label: string; readonly unpacked?: boolean },
  work: Work,
): Promise<TakenDisk> {
  const kind = await sourceKind(path)
  if ("archive" in kind) throw invalid(path, "is an archive, and no disk")
  if ("format" in kind) return await converted({ path, format: kind.format }, label, work)
  if (unpacked) throw invalid(path, `is compressed by ${kind.packing}, in what was compressed itself`)
  const inside = work.file(label)
  await unpack(path, kind.packing, { path: inside, most: MOST_BYTES }, work.call)
  return await takeDisk(inside, { label, unpacked: true }, work)
}

async function converted(from: DiskSource, label: string, work: Work): Promise<TakenDisk> {
  const { call } = work
  if (from.format !== "raw") await refuseDamaged(from, call)
  const plain = from.format === "raw" || (from.format === "qcow2" && (await isPlainQcow2(from.path, call)))
  const between = plain ? from.path : work.file(label)
  if (!plain) await toQcow2(from, between, call)
  const path = work.file(label)
  const format = from.format === "raw" ? "raw" : "qcow2"
  const onBytes = (done: number, total: number) => work.call.onFile?.(label, done, total)
  const digest = await writeAlone({ path: between, format }, path, { ...call, onBytes })
  if (!plain) await rm(between)
  const snapshots = from.format === "qcow2" ? await withDisk(from.path, snapshotsIn) : 0
  const remarks = snapshots > 0 ? [`${label}: its ${snapshots} internal snapshots are left out`] : []
  return { path, digest, format: from.format, remarks }
}
