import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { VectorDocument, VectorFault } from "../../conformance/src/vectors.ts"
import type { JudgedKind } from "../src/cli/judge/as.ts"

export const SPEC = join(import.meta.dirname, "../../../spec")

interface Common {
  readonly description: string
  readonly requirement?: string
  readonly faults?: readonly VectorFault[]
  readonly code?: string
}

export interface RequestVector extends Common {
  readonly kind: "request"
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
    | "fork"
  readonly input: VectorDocument
}

export interface KeyVector extends Common {
  readonly kind: "private-key"
  readonly input: { readonly pem: string; readonly password?: string }
  readonly expect?: { readonly keyId: string }
}

/** What `ovm validate --as` judges. */
export interface JudgedVector extends Common {
  readonly kind: JudgedKind
  readonly input: unknown
  readonly expect?: Readonly<Record<string, unknown>>
  /** Of evidence. */
  readonly status?: "invalid" | "unknown"
  /** Index of the layer of a disk that is at fault. */
  readonly layer?: number
}

export type Vector = RequestVector | KeyVector | JudgedVector

export function loadVectors(
  folder: "valid" | "invalid",
): { readonly name: string; readonly vector: Vector }[] {
  const names = readdirSync(join(SPEC, "vectors", folder)).sort()
  return names.map((name) => ({
    name: name.replace(/\.json$/, ""),
    vector: JSON.parse(readFileSync(join(SPEC, "vectors", folder, name), "utf8")) as Vector,
  }))
}
