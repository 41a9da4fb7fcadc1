import type { Digest } from "../../content/digest.ts"

export const MANIFEST_TYPE = "application/vnd.ovms.manifest.v1+json"
export const KERNEL_TYPE = "application/vnd.ovms.kernel.v1"
export const INITRD_TYPE = "application/vnd.ovms.initrd.v1"
export const VARIABLES_TYPE = "application/vnd.ovms.firmware-variables.v1"
/** What v0.1 writes for disks; the blob is the disk file itself and MUST NOT be untarred (spec/oci-mapping.md). */
export const DISK_TYPE = "application/vnd.oci.image.layer.v1.tar"
/** What v0.1 reads as well. */
export const DISK_TYPES_READ = {
  "application/vnd.ovms.disk.v1+qcow2": "qcow2",
  "application/vnd.ovms.disk.v1+raw": "raw",
} as const
export const FORMAT_ANNOTATION = "ovms.format"

export type DiskFormat = "qcow2" | "raw"

/** One file of a disk's chain; `size` is the file's. */
export interface LayerRef {
  readonly ref: Digest
  readonly format: DiskFormat
  readonly size: number
}

/** A disk beside the first: a chain of layers, base first, or one that is empty at first and has `size`. */
export interface FurtherDisk<Layer = LayerRef> {
  readonly name: string
  readonly readOnly?: boolean
  readonly size?: number
  readonly layers?: readonly Layer[]
}

export interface WantedShare {
  readonly name: string
  /** Path of the guest. */
  readonly target: string
  readonly readOnly?: boolean
  /** Default true. */
  readonly required?: boolean
}

/** The OVMS manifest v1 (spec/manifest.md, spec/schema/manifest.v1.json). Sizes are bytes. */
export interface OvmsManifest {
  readonly schemaVersion: 1
  readonly mediaType: typeof MANIFEST_TYPE
  readonly name: string
  readonly version?: string
  /** For generic OCI tools, which read these two of any config (spec/oci-mapping.md). */
  readonly os?: string
  readonly architecture?: string
  readonly kernel?: { readonly ref: Digest; readonly args?: string }
  readonly initrd?: { readonly ref: Digest }
  readonly diskLayers?: readonly LayerRef[]
  readonly disks?: readonly FurtherDisk[]
  /** Of a machine that boots by UEFI: the bytes of the flash that has its variables. */
  readonly firmware?: { readonly variables: { readonly ref: Digest; readonly size: number } }
  readonly ramSnapshot?: {
    readonly ref: Digest
    readonly compression: "lz4" | "zstd"
    readonly preload_hint?: boolean
    readonly mlock_required?: boolean
  }
  readonly devices?: readonly {
    readonly type: string
    readonly name: string
    readonly size?: number
    readonly mmio_addr?: string
    readonly required?: boolean
  }[]
  /** Exactly one. */
  readonly network?: readonly {
    readonly mode: "user" | "none"
    readonly ports?: readonly { readonly guest: number; readonly protocol?: "tcp" | "udp" }[]
  }[]
  readonly agent?: { readonly protocol: "ovms.agent.v1" }
  /** Folders of the host that the guest is to see: which, says the start. */
  readonly shares?: readonly WantedShare[]
  readonly resources?: { readonly vcpus?: number; readonly memory?: number }
  readonly metadata?: {
    readonly author?: string
    readonly created?: string
    readonly description?: string
    readonly platform?: {
      readonly arch: "x86_64" | "aarch64"
      readonly uefi?: boolean
      readonly secureBoot?: boolean
      readonly tpm?: boolean
    }
  }
  readonly runtimeHints?: {
    readonly preferredRuntime?: readonly string[]
    readonly coldStartTargetMs?: number
    readonly resume?: boolean
    readonly coldBootOnMismatch?: boolean
  }
}
