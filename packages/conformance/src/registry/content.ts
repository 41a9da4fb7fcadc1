import { createHash } from "node:crypto"

export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}

/** The bytes that a text of hexadecimal digits says. */
export function hex(digits: string): Buffer {
  return Buffer.from(digits, "hex")
}

export function utf8(text: string): Buffer {
  return Buffer.from(text)
}

export interface StoredManifest {
  readonly mediaType: string
  readonly bytes: Buffer
}

/** One repository of the suite's own registry. */
export class Repository {
  readonly blobs = new Map<string, Buffer>()
  readonly manifests = new Map<string, StoredManifest>()
  readonly tags = new Map<string, string>()

  /** Puts a manifest there, and gives it the tag; its digest. */
  put(bytes: Buffer, mediaType: string, tag?: string): string {
    const digest = digestOf(bytes)
    this.manifests.set(digest, { mediaType, bytes })
    if (tag !== undefined) this.tags.set(tag, digest)
    return digest
  }

  blob(bytes: Buffer): string {
    const digest = digestOf(bytes)
    this.blobs.set(digest, bytes)
    return digest
  }

  resolve(reference: string): string | undefined {
    return reference.startsWith("sha256:") ? reference : this.tags.get(reference)
  }

  /** Descriptors of the manifests whose subject this is. */
  referrers(subject: string): Referrer[] {
    return [...this.manifests].flatMap(([digest, { mediaType, bytes }]) => {
      const manifest = parsed(bytes)
      if (manifest.subject?.digest !== subject) return []
      const artifactType = manifest.artifactType ?? manifest.config?.mediaType
      return [
        { mediaType, digest, size: bytes.length, artifactType, annotations: manifest.annotations ?? {} },
      ]
    })
  }
}

export interface Referrer {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly artifactType: string | undefined
  readonly annotations: Readonly<Record<string, string>>
}

export interface Manifest {
  readonly mediaType?: string
  readonly artifactType?: string
  readonly config?: Descriptor
  readonly layers?: readonly Descriptor[]
  readonly manifests?: readonly Descriptor[]
  readonly subject?: Descriptor
  readonly annotations?: Readonly<Record<string, string>>
}

export interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
}

/** A manifest as far as it can be understood. */
export function parsed(bytes: Uint8Array): Manifest {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString())
    return typeof value === "object" && value !== null ? (value as Manifest) : {}
  } catch {
    return {}
  }
}
