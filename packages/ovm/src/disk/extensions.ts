import { type DiskReader, invalid } from "./file.ts"
import type { Qcow2Header } from "./header.ts"

export interface Extensions {
  /** What the backing file's name says its format is; informative only, since nodes are explicit. */
  readonly backingFormat?: string
}

const END = 0
const BACKING_FORMAT = 0xe2792aca
const ENCRYPTION = 0x0537be77
const EXTERNAL_DATA = 0x44415441 // "DATA"
const BITMAPS = 0x23852875
const MAX_FORMAT_NAME = 15

/** Walks the header extensions, none of which may leave the header's cluster. Throws OVM_DISK_INVALID. */
export async function readExtensions(disk: DiskReader, header: Qcow2Header): Promise<Extensions> {
  const refuse = (reason: string) => invalid(disk.path, reason)
  // With a backing file the extensions end where its name begins at the latest (qcow2.rst, "Header extensions").
  const end = Math.min(header.backing?.offset ?? header.clusterSize, disk.size)
  const view = await disk.read(0, end, "the header's cluster")
  let found: Extensions = {}
  for (let at = header.length; at + 8 <= end; ) {
    const type = view.getUint32(at)
    const length = view.getUint32(at + 4)
    if (type === END) break
    if (length > end - at - 8)
      throw refuse(
        `header extension 0x${type.toString(16)} claims ${length} bytes, beyond the header's cluster`,
      )
    if (type === EXTERNAL_DATA) throw refuse("names an external data file")
    if (type === ENCRYPTION) throw refuse("has an encryption header")
    if (type === BITMAPS) checkBitmaps(disk, view, at + 8, length)
    if (type === BACKING_FORMAT) {
      if (length > MAX_FORMAT_NAME) throw refuse(`has a backing format name of ${length} bytes`)
      found = { backingFormat: text(view, at + 8, length) }
    }
    at += 8 + Math.ceil(length / 8) * 8
  }
  return found
}

/** Text out of a file that nobody vouches for; what is not UTF-8 becomes U+FFFD. */
export function text(view: DataView, at: number, length: number): string {
  return new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + at, length))
}

/** QEMU reads the bitmap directory of whatever it opens, so it has to be there. */
function checkBitmaps(disk: DiskReader, view: DataView, at: number, length: number): void {
  if (length !== 24) throw invalid(disk.path, `has a bitmaps extension of ${length} bytes`)
  const bytes = Number(view.getBigUint64(at + 8))
  const offset = Number(view.getBigUint64(at + 16))
  if (offset + bytes > disk.size) throw invalid(disk.path, "bitmap directory lies outside the file")
}
