import type { DiskFormat, OvmsManifest } from "../artifact/machine/manifest.ts"
import type { SnapshotDescriptor } from "../artifact/snapshot/descriptor.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"

/** A disk beside the first. */
export interface PreparedDisk {
  readonly name: string
  readonly readOnly: boolean
  /** From base to top; none of a disk that is empty at first. */
  readonly layers: PreparedImage["layers"]
  /** What a guest has written on top of them, the lowest first. */
  readonly written?: PreparedImage["layers"]
  /** What the guest sees, in bytes. */
  readonly virtualSize: number
}

/** An image whose every byte is local, verified, inspected and leased: what a runtime needs to know of it. */
export interface PreparedImage {
  /** As it was asked for, in canonical form; of a path: `localhost/<name>`. */
  readonly reference: string
  readonly digest: Digest
  /** The OCI manifest of the machine; of a snapshot, that of its base. */
  readonly base: Descriptor
  /** Through which it was found. */
  readonly index?: Descriptor
  readonly manifest: OvmsManifest
  readonly kernel?: { readonly path: string }
  readonly initrd?: { readonly path: string }
  /** What its UEFI firmware starts with; bytes. */
  readonly variables?: { readonly path: string; readonly size: number }
  /** From base to top. */
  readonly layers: readonly { readonly path: string; readonly format: DiskFormat }[]
  /** Of the disk that the guest sees, in bytes; 0 without a disk. */
  readonly virtualSize: number
  readonly disks: readonly PreparedDisk[]
  readonly warnings: readonly string[]
  /** Milliseconds. */
  readonly timings: { readonly resolve: number; readonly verify: number }
}

/** A snapshot whose every byte is local and verified. */
export interface PreparedSnapshot {
  readonly descriptor: SnapshotDescriptor
  readonly digest: Digest
  /** Guest RAM, inflated and sparse, shared by all clones: never written to. */
  readonly ram: string
  readonly state: string
  /** From the lowest up: the base's layers, then what was written since. */
  readonly layers: PreparedImage["layers"]
  /** Of the disk that the guest saw, in bytes; 0 without a disk. */
  readonly virtualSize: number
  /** The overlays among them, as descriptors: what a snapshot of a clone refers to again. */
  readonly overlays: readonly Descriptor[]
  /** Further disks that the guest can write to. */
  readonly disks: readonly (Pick<PreparedDisk, "name" | "layers"> & Pick<PreparedSnapshot, "overlays">)[]
}
