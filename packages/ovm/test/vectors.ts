import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

export const SPEC = join(import.meta.dirname, "../../../spec")

/** A document of a vector: stands for bytes (spec/vectors/README.md). */
export type VectorDocument =
  | { readonly json: unknown }
  | { readonly text: string }
  | { readonly base64: string }
  | { readonly concat: readonly VectorDocument[] }
  | { readonly repeat: VectorDocument; readonly times: number }

export interface VectorFault {
  readonly document: string
  readonly pointer: string
  readonly requirement: string
}

interface Common {
  readonly description: string
  readonly requirement?: string
  readonly faults?: readonly VectorFault[]
  readonly code?: string
}

/** A bundle, or a layer of the older form. */
export interface EvidenceDocument {
  readonly bundle?: VectorDocument
  readonly layer?: {
    readonly mediaType: string
    readonly content: VectorDocument
    readonly annotations: Readonly<Record<string, string>>
  }
}

interface DecisionSubject {
  readonly digest: `sha256:${string}`
  readonly platform: string
  readonly created?: string
}

interface Kinds {
  manifest: { readonly input: VectorDocument }
  "pack-source": { readonly input: VectorDocument }
  artifact: {
    readonly input: { readonly oci: VectorDocument; readonly manifest: VectorDocument }
    readonly expect?: {
      readonly kernel?: string
      readonly initrd?: string
      readonly variables?: string
      readonly layers?: readonly { readonly digest: string; readonly format: string }[]
      readonly disks?: readonly {
        readonly name: string
        readonly layers: readonly { readonly digest: string; readonly format: string }[]
      }[]
    }
  }
  "oci-index": {
    readonly input: VectorDocument
    readonly expect?: { readonly machines: readonly { readonly platform: string; readonly digest: string }[] }
  }
  snapshot: { readonly input: VectorDocument }
  policy: { readonly input: VectorDocument }
  "snapshot-artifact": {
    readonly input: { readonly oci: VectorDocument; readonly snapshot: VectorDocument }
    readonly expect?: Readonly<Record<string, unknown>>
  }
  /** RAM on the wire: the blob, its table if it has one, and what the descriptor says of the RAM. */
  ram: {
    readonly input: {
      readonly compression: "zstd" | "lz4"
      readonly size: number
      readonly digest: `sha256:${string}`
      readonly blob: VectorDocument
      readonly table?: VectorDocument
    }
  }
  request: {
    readonly operation:
      | "start"
      | "stop"
      | "snapshot"
      | "rename"
      | "commit"
      | "volume"
      | "network"
      | "warm"
      | "restart"
      | "exec"
      | "exec-control"
      | "sandbox"
    readonly input: VectorDocument
  }
  disk: {
    readonly input: {
      readonly layers: readonly { readonly format: "qcow2" | "raw"; readonly file: VectorDocument }[]
    }
    readonly expect?: { readonly virtualSize: number }
    /** Index of the layer that is at fault. */
    readonly layer?: number
  }
  /** A bundle in a referrer, or a layer under the tag of the older form, beside `subject`. */
  evidence: {
    readonly input: EvidenceDocument & {
      readonly subject: `sha256:${string}`
      readonly predicateType?: string
      readonly keys: readonly string[]
      /** What it is asked about by, where it is by a name. */
      readonly reference?: string
    }
    readonly status?: "invalid" | "unknown"
    readonly expect?: { readonly keyId: string; readonly reference?: string; readonly predicate?: unknown }
  }
  /** A policy, and what it is asked about with the evidence that there is. */
  decision: {
    readonly input: {
      readonly policy: VectorDocument
      /** What the policy names, by the name that it has there. */
      readonly files?: Readonly<Record<string, VectorDocument>>
      readonly now: string
      readonly reference: string
      readonly machine: DecisionSubject
      readonly snapshot?: DecisionSubject
      readonly index?: `sha256:${string}`
      readonly evidence?: readonly (EvidenceDocument & { readonly subject: `sha256:${string}` })[]
    }
    readonly expect?: { readonly scope: string }
  }
  "private-key": {
    readonly input: { readonly pem: string; readonly password?: string }
    readonly expect?: { readonly keyId: string }
  }
  reference: { readonly input: string; readonly expect?: Readonly<Record<string, string>> }
}

export type VectorOf<K extends keyof Kinds> = Common & { readonly kind: K } & Kinds[K]
export type Vector = { [K in keyof Kinds]: VectorOf<K> }[keyof Kinds]

export function loadVectors(
  folder: "valid" | "invalid",
): { readonly name: string; readonly vector: Vector }[] {
  const names = readdirSync(join(SPEC, "vectors", folder)).sort()
  return names.map((name) => ({
    name: name.replace(/\.json$/, ""),
    vector: JSON.parse(readFileSync(join(SPEC, "vectors", folder, name), "utf8")) as Vector,
  }))
}

export function bytesOfDocument(document: VectorDocument): Buffer {
  if ("json" in document) return Buffer.from(JSON.stringify(document.json))
  if ("text" in document) return Buffer.from(document.text)
  if ("base64" in document) return Buffer.from(document.base64, "base64")
  if ("concat" in document) return Buffer.concat(document.concat.map(bytesOfDocument))
  const once = bytesOfDocument(document.repeat)
  return Buffer.alloc(once.length * document.times, once)
}
