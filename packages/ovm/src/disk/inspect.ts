import type { Call } from "../content/interfaces.ts"
import { readExtensions, text } from "./extensions.ts"
import { invalid, withDisk } from "./file.ts"
import { foreignOf, refuseForeign } from "./foreign/foreign.ts"
import { readHeader } from "./header.ts"
import { readTables } from "./tables.ts"

/** What a disk layer is. Sizes are bytes. */
export interface DiskInfo {
  readonly path: string
  readonly format: "qcow2" | "raw"
  /** Of the file itself: what the descriptor and `diskLayers[].size` say. */
  readonly fileSize: number
  /** Of the disk that the guest sees. */
  readonly virtualSize: number
  readonly qcow2?: Qcow2Info
  /** What a raw one looks like by its bytes, which are read as raw all the same; with its article. */
  readonly looksLike?: string
}

export interface Qcow2Info {
  readonly version: 2 | 3
  readonly clusterSize: number
  /** What the header claims; OVMS ignores it, since the chain is explicit. */
  readonly backingFile?: string
  readonly backingFormat?: string
  /** Clusters that this layer has content for, compressed ones included. */
  readonly allocatedClusters: number
  readonly compressedClusters: number
  readonly compression: "zlib" | "zstd"
  readonly extendedL2: boolean
}

export interface InspectOptions extends Call {
  /** As declared: a disk's format is never guessed from its content, which belongs to the guest (CVE-2024-32498). */
  readonly format: "qcow2" | "raw"
  /** A base stands alone; a diff goes on top of another layer. */
  readonly role: "base" | "diff"
  /** Nobody declared the format: what is neither qcow2 nor raw by its bytes is refused (OVMS-SRC-020). */
  readonly guessed?: boolean
  /** Largest virtual size, in bytes; 16 TiB unless given. */
  readonly limit?: number
}

/** Largest virtual size of a disk, in bytes (spec/limits.md). */
export const MAX_VIRTUAL_SIZE = 2 ** 44

/**
 * Reads a disk layer's metadata and refuses what is unsafe to open or broken, without reading any of its data
 * (spec/disk.md). Throws OVM_DISK_INVALID with file and reason, OVM_FILE_UNREADABLE, OVM_PERMISSION_DENIED,
 * OVM_INTERRUPTED.
 */
export async function inspectDisk(path: string, options: InspectOptions): Promise<DiskInfo> {
  const limit = options.limit ?? MAX_VIRTUAL_SIZE
  return await withDisk(path, async (disk) => {
    if (options.guessed) await refuseForeign(disk)
    if (options.format === "raw") {
      const looksLike = (await foreignOf(disk))?.name
      if (options.role === "diff") throw invalid(path, "is raw, and a raw disk can only be the first layer")
      if (disk.size === 0 || disk.size % 512 !== 0)
        throw invalid(
          path,
          `has ${disk.size} bytes, not a positive multiple of 512${looksLike ? `: it looks like ${looksLike}` : ""}`,
        )
      if (disk.size > limit) throw invalid(path, `has ${disk.size} bytes, above the limit of ${limit}`)
      const size = { fileSize: disk.size, virtualSize: disk.size }
      return { path, format: "raw", ...size, ...(looksLike && { looksLike }) }
    }
    const header = await readHeader(disk, limit)
    const { backing } = header
    const backingFile =
      backing &&
      text(await disk.read(backing.offset, backing.length, "the backing file name"), 0, backing.length)
    if (backingFile !== undefined && options.role === "base")
      throw invalid(
        path,
        `is a base layer but wants a backing file (${JSON.stringify(backingFile.slice(0, 200))})`,
      )
    const extensions = await readExtensions(disk, header)
    const allocation = await readTables(disk, header, options.signal)
    const { version, clusterSize, compression, extendedL2, virtualSize } = header
    const optional = { ...(backingFile === undefined ? {} : { backingFile }), ...extensions }
    const qcow2 = { version, clusterSize, ...optional, ...allocation, compression, extendedL2 }
    return { path, format: "qcow2", fileSize: disk.size, virtualSize, qcow2 }
  })
}
