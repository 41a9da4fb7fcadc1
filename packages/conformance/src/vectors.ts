import { vectorFiles } from "./spec-files.ts"

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

export interface Vector {
  /** `valid/manifest-…` */
  readonly path: string
  readonly description: string
  readonly kind: string
  readonly operation?: string
  readonly input: unknown
  readonly covers?: readonly string[]
  readonly requirement?: string
  readonly faults?: readonly VectorFault[]
  readonly code?: string
  readonly expect?: Readonly<Record<string, unknown>>
}

export async function loadVectors(): Promise<Vector[]> {
  return Object.entries(await vectorFiles()).map(([path, text]) => ({
    ...(JSON.parse(text) as Vector),
    path: path.replace(/\.json$/, ""),
  }))
}

export function bytesOf(document: VectorDocument): Buffer {
  if ("json" in document) return Buffer.from(JSON.stringify(document.json))
  if ("text" in document) return Buffer.from(document.text)
  if ("base64" in document) return Buffer.from(document.base64, "base64")
  if ("concat" in document) return Buffer.concat(document.concat.map(bytesOf))
  const once = bytesOf(document.repeat)
  return Buffer.alloc(once.length * document.times, once)
}
