import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { bytesOf, type Vector, type VectorDocument } from "../vectors.ts"

type Documents = Readonly<Record<string, VectorDocument>>

/** Writes what a vector consists of into `folder`: the arguments of `validate KIND` (spec/conformance.md). */
export async function vectorArguments({ kind, input }: Vector, folder: string): Promise<string[]> {
  const file = async (name: string, content: Uint8Array | string) => {
    await writeFile(join(folder, name), content)
    return join(folder, name)
  }
  const document = (name: string, from: VectorDocument) => file(name, bytesOf(from))
  if (kind === "reference") return [await file("reference", input as string)]
  if (kind === "disk") {
    const { layers } = input as { layers: readonly { format: string; file: VectorDocument }[] }
    return Promise.all(
      layers.map(async ({ format, file }, at) => `${format}:${await document(`layer${at}.${format}`, file)}`),
    )
  }
  if (kind === "ram") {
    const { blob, table, ...said } = input as Documents & { blob: VectorDocument; table?: VectorDocument }
    const files = [await file("ram.json", JSON.stringify(said)), await document("blob", blob)]
    return table ? [...files, await document("table", table)] : files
  }
  if (kind === "private-key") {
    const { pem, password } = input as { pem: string; password?: string }
    const key = await file("key.pem", pem)
    return password === undefined ? [key] : [key, await file("password", password)]
  }
  if (kind === "decision") return [await file("decision.json", JSON.stringify(decision(input as Decided)))]
  if (kind === "evidence") return [await file("evidence.json", JSON.stringify(evidence(input as Evidence)))]
  if (kind === "artifact" || kind === "snapshot-artifact") {
    const { oci, ...others } = input as Documents & { oci: VectorDocument }
    const inner = others.manifest ?? others.snapshot
    if (!inner) throw new Error(`a vector of the kind ${kind} has no inner document`)
    return [await document("oci.json", oci), await document("inner.json", inner)]
  }
  return [await document("document.json", input as VectorDocument)]
}

interface Evidence {
  readonly bundle?: VectorDocument
  readonly layer?: { readonly content: VectorDocument }
}

interface Decided {
  readonly policy: VectorDocument
  readonly files?: Documents
  readonly evidence?: readonly Evidence[]
}

const text = (document: VectorDocument) => bytesOf(document).toString("base64")

/** The documents in it as base64. */
function decision({ policy, files, evidence: found, ...rest }: Decided): object {
  const named = Object.entries(files ?? {}).map(([name, document]) => [name, text(document)])
  return {
    ...rest,
    policy: text(policy),
    ...(files && { files: Object.fromEntries(named) }),
    ...(found && { evidence: found.map(evidence) }),
  }
}

/** The documents in it as base64. */
function evidence({ bundle, layer, ...rest }: Evidence): object {
  return {
    ...rest,
    ...(bundle && { bundle: text(bundle) }),
    ...(layer && { layer: { ...layer, content: text(layer.content) } }),
  }
}
