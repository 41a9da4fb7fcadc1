import type { Fault } from "../../artifact/faults.ts"
import { DOCUMENT_BYTES } from "../../artifact/json.ts"
import { mapParts } from "../../artifact/machine/mapping.ts"
import { validateSource } from "../../artifact/machine/source.ts"
import { validateManifest } from "../../artifact/machine/validate.ts"
import { validateOciManifest } from "../../artifact/oci.ts"
import { validateIndex } from "../../artifact/platforms/index-document.ts"
import { machinesIn } from "../../artifact/platforms/machines.ts"
import { validateSnapshot } from "../../artifact/snapshot/descriptor.ts"
import { validateSnapshotArtifact } from "../../artifact/snapshot/mapping.ts"
import { checkChain } from "../../disk/chain.ts"
import { inspectDisk } from "../../disk/inspect.ts"
import { OvmError } from "../../errors.ts"
import { isPath, parseReference } from "../../registry/reference.ts"
import { validatePolicy } from "../../signing/policy/parse.ts"
import { readArgument } from "../argument-file.ts"

/** A verdict; `found` is what was made of a valid one, in the words of `expect` in spec/vectors/README.md. */
interface Judged {
  readonly faults: readonly Fault[]
  readonly found?: object
}

type Judge = (...files: readonly Uint8Array[]) => Judged

/** What is judged by its bytes, with the number of files that it is. */
const DOCUMENTS = {
  manifest: [1, (bytes) => ({ faults: validateManifest(bytes).faults })],
  "pack-source": [1, (bytes) => ({ faults: validateSource(bytes).faults })],
  snapshot: [1, (bytes) => ({ faults: validateSnapshot(bytes).faults })],
  policy: [1, (bytes) => ({ faults: validatePolicy(bytes).faults })],
  artifact: [2, judgeArtifact],
  "snapshot-artifact": [2, judgeSnapshot],
  "oci-index": [1, judgeIndex],
  reference: [1, judgeReference],
} as const satisfies Readonly<Record<string, readonly [number, Judge]>>

/** What is read, verified or decided, with parts that few need. */
const OTHERS = {
  disk: judgeDisk,
  ram: async (texts) => (await import("./ram.ts")).judgeRam(texts),
  evidence: async (texts) => (await import("./evidence.ts")).judgeEvidence(only("evidence", texts)),
  decision: async (texts) => (await import("./decision.ts")).judgeDecision(only("decision", texts)),
} as const satisfies Readonly<Record<string, (texts: readonly string[]) => Promise<Judged>>>

export type JudgedKind = keyof typeof DOCUMENTS | keyof typeof OTHERS
export const JUDGED_KINDS = [...Object.keys(DOCUMENTS), ...Object.keys(OTHERS)] as readonly JudgedKind[]

/**
 * Judges `texts` as a vector of that kind is judged: descriptors are not held against the bytes of others. Throws
 * OVM_USAGE for another number of files, OVM_FILE_UNREADABLE, OVM_TOO_LARGE, OVM_DISK_INVALID, OVM_REFERENCE_INVALID,
 * and what RAM, evidence and a decision are refused with.
 */
export async function judgeAs(
  kind: JudgedKind,
  texts: readonly string[],
): Promise<Judged & { readonly kind: JudgedKind }> {
  if (!isDocument(kind)) return { kind, ...(await OTHERS[kind](texts)) }
  const [count, judge] = DOCUMENTS[kind]
  refuseOtherCount(kind, count, texts)
  const files = await Promise.all(texts.map((text) => readArgument(text, DOCUMENT_BYTES)))
  return { kind, ...(judge as Judge)(...files) }
}

function isDocument(kind: JudgedKind): kind is keyof typeof DOCUMENTS {
  return kind in DOCUMENTS
}

function refuseOtherCount(kind: string, count: number, { length }: readonly string[]): void {
  if (length === count) return
  throw new OvmError(
    "OVM_USAGE",
    `${kind} is ${count === 1 ? "one file" : `${count} files`}, not ${length}`,
    {
      hint: "ovm validate --help",
    },
  )
}

function only(kind: string, texts: readonly string[]): string {
  refuseOtherCount(kind, 1, texts)
  return texts[0] ?? ""
}

function judgeArtifact(ociBytes: Uint8Array, manifestBytes: Uint8Array): Judged {
  const { oci, faults: ociFaults } = validateOciManifest(ociBytes)
  const { manifest, faults } = validateManifest(manifestBytes)
  if (!oci || !manifest) return { faults: [...ociFaults, ...faults] }
  const { parts, faults: all } = mapParts(oci, manifest)
  const files = (chain: typeof parts.layers = []) =>
    chain.map(({ descriptor, format }) => ({ digest: descriptor.digest, format }))
  const disks = parts.disks.map(({ name, layers }) => ({ name, layers: files(layers) }))
  const { kernel, initrd, layers, variables } = parts
  const found = {
    kernel: kernel?.digest,
    initrd: initrd?.digest,
    layers: files(layers),
    variables: variables?.digest,
  }
  return { faults: all, ...(all.length === 0 && { found: { ...found, ...(disks.length > 0 && { disks }) } }) }
}

function judgeSnapshot(ociBytes: Uint8Array, snapshotBytes: Uint8Array): Judged {
  const { artifact, faults } = validateSnapshotArtifact(ociBytes, snapshotBytes)
  if (!artifact) return { faults }
  const { ram, table, state, overlays, disks } = artifact.parts
  const found = {
    ram: ram.digest,
    ...(table && { table: table.digest }),
    state: state.digest,
    overlays: overlays.map(({ descriptor }) => descriptor.digest),
    ...(disks.length > 0 && {
      disks: disks.map(({ name, overlays }) => ({
        name,
        overlays: overlays.map(({ descriptor }) => descriptor.digest),
      })),
    }),
  }
  return { faults, found }
}

function judgeIndex(bytes: Uint8Array): Judged {
  const { index, faults } = validateIndex(bytes)
  if (!index) return { faults }
  const machines = machinesIn(index).map(({ platform, descriptor }) => ({
    platform,
    digest: descriptor.digest,
  }))
  return { faults, found: { machines } }
}

async function judgeDisk(texts: readonly string[]): Promise<Judged> {
  const chain = []
  for (const [index, text] of texts.entries()) {
    const [, format, path = ""] = /^(qcow2|raw):(.+)$/s.exec(text) ?? []
    if (format !== "qcow2" && format !== "raw")
      throw new OvmError("OVM_USAGE", `${text}: a layer is qcow2:FILE or raw:FILE`, {
        hint: "ovm validate --help",
      })
    chain.push(await inspectDisk(path, { format, role: index === 0 ? "base" : "diff" }))
  }
  checkChain(chain)
  return { faults: [], found: { virtualSize: chain.at(-1)?.virtualSize } }
}

/** The file is the reference: what is behind it, a line end too, is part of it. */
function judgeReference(bytes: Uint8Array): Judged {
  const text = Buffer.from(bytes).toString()
  if (isPath(text)) return { faults: [], found: { path: text } }
  const { host, repository, tag, digest } = parseReference(text)
  return { faults: [], found: { host, repository, tag, digest } }
}
