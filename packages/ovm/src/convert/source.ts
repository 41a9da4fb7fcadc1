import { invalid, withDisk } from "../disk/file.ts"
import { foreignOf } from "../disk/foreign/foreign.ts"
import type { Foreign } from "../disk/foreign/sample.ts"
import { qcow2Fault } from "./qcow2.ts"
import { vdiFault } from "./vdi.ts"
import { vhdFault } from "./vhd.ts"
import { vmdkFault } from "./vmdk.ts"

/** Formats of disks that are taken in, by QEMU's names for them. */
export type SourceFormat = "qcow2" | "raw" | "vmdk" | "vpc" | "vhdx" | "vdi"

/** What a disk may be compressed with. */
export type Packing = "gzip" | "xz" | "zstd" | "bzip2"

const DISKS: Readonly<Record<string, SourceFormat>> = {
  "a qcow2 disk": "qcow2",
  "a VMDK disk": "vmdk",
  "a VHD disk": "vpc",
  "a VHDX disk": "vhdx",
  "a VDI disk": "vdi",
}
const PACKED = /^a file compressed with (gzip|xz|zstd|bzip2)$/
const PACKED_TAR = "a compressed tar archive, such as the layer of a container image"

/**
 * What a tar archive has in it: a machine with its descriptor, content of an OCI layout, or other files; or that
 * descriptor itself, whose files lie beside it.
 */
export type ArchiveKind = "ova" | "ovf" | "oci" | "tar"

const TARS: Readonly<Record<string, ArchiveKind>> = {
  "an OVA, a tar archive with disks in it": "ova",
  "the descriptor of an OVF package": "ovf",
  "an archive of a container image or OCI layout": "oci",
  "a tar archive of files, such as the layer of a container image": "tar",
  "a tar archive": "tar",
}

const FAULTS: Partial<Readonly<Record<SourceFormat, typeof qcow2Fault>>> = {
  qcow2: qcow2Fault,
  vmdk: vmdkFault,
  vpc: vhdFault,
  vdi: vdiFault,
}

/** What the file `path` is compressed with, told by its bytes. */
export async function packingOf(path: string): Promise<Packing | undefined> {
  return await withDisk(path, async (disk) => packingIn(await foreignOf(disk)))
}

function packingIn(found: Foreign | undefined): Packing | undefined {
  if (found?.name === PACKED_TAR) return "gzip"
  return PACKED.exec(found?.name ?? "")?.[1] as Packing | undefined
}

/**
 * What the file `path` is by its bytes, whatever it is called (OVMS-IMP-001). Throws OVM_DISK_INVALID for what is no
 * disk, and for a disk that does not stand alone: whose data, or part of it, is in other files (OVMS-IMP-003).
 */
export async function sourceKind(
  path: string,
): Promise<
  { readonly format: SourceFormat } | { readonly packing: Packing } | { readonly archive: ArchiveKind }
> {
  return await withDisk(path, async (disk) => {
    const found = await foreignOf(disk)
    const packing = packingIn(found)
    if (packing) return { packing }
    const archive = TARS[found?.name ?? ""]
    if (archive) return { archive }
    const format = found ? DISKS[found.name] : "raw"
    if (!format) throw invalid(path, `is ${found?.name}, and no disk that can be imported`)
    if (format === "raw" && (disk.size === 0 || disk.size % 512 !== 0))
      throw invalid(path, `is no disk: it has ${disk.size} bytes, not a positive multiple of 512`)
    const fault = await FAULTS[format]?.(disk)
    if (fault !== undefined) throw invalid(path, fault)
    return { format }
  })
}
