import type { Digest } from "./digest.ts"

/** An OCI content descriptor (image-spec: descriptor.md). */
export interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  /** Bytes. */
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: { readonly os: string; readonly architecture: string }
  /** The content itself in base64, where it is small (image-spec: descriptor.md, "Embedded Content"). */
  readonly data?: string
}
