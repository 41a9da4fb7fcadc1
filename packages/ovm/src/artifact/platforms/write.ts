import type { Descriptor } from "../../content/descriptor.ts"
import type { Call, Fetcher } from "../../content/interfaces.ts"
import { OCI_INDEX } from "../../content/manifest.ts"
import { OvmError } from "../../errors.ts"
import { type Document, documentOf } from "../canonical.ts"
import { MANIFEST_TYPE } from "../machine/manifest.ts"
import { readArtifact } from "../machine/read.ts"
import { isSnapshot } from "../snapshot/read.ts"
import { INDEX_TYPE } from "../types.ts"
import { MOST_ENTRIES } from "./index-document.ts"
import type { IndexMachine } from "./machines.ts"
import { type Platform, platformOf } from "./platform.ts"
import { isIndex } from "./read.ts"

/**
 * What an index would say of the machine behind `target`. Throws OVM_UNSUPPORTED for an index or a snapshot
 * (OVMS-IDX-022), and what readArtifact throws.
 */
export async function machineEntry(
  source: Fetcher,
  target: Descriptor,
  what: string,
  call: Call,
): Promise<IndexMachine> {
  const refuse = (kind: string) =>
    new OvmError("OVM_UNSUPPORTED", `${what} is ${kind}, and an index is of machines [OVMS-IDX-022]`, {
      detail: [{ pointer: "/manifests", reason: `${what} is ${kind}` }],
    })
  if (isIndex(target)) throw refuse("an index itself")
  if (await isSnapshot(source, target, call)) throw refuse("a snapshot")
  const { descriptor, manifest } = await readArtifact(source, target, call)
  return { platform: platformOf(manifest), descriptor }
}

/** The index of `machines`: the same ones give the same bytes (OVMS-IDX-021). Throws OVM_TOO_LARGE, OVM_USAGE. */
export function indexOf(machines: readonly IndexMachine[]): Document {
  const sorted = machines.toSorted((a, b) => (a.platform < b.platform ? -1 : 1))
  const double = sorted.find(({ platform }, at) => platform === sorted[at + 1]?.platform)
  if (double) throw new OvmError("OVM_USAGE", `there are two machines for ${double.platform}`)
  if (sorted.length > MOST_ENTRIES)
    throw new OvmError(
      "OVM_TOO_LARGE",
      `${sorted.length} machines are too many for an index: ${MOST_ENTRIES}`,
    )
  const document = documentOf(OCI_INDEX, {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    artifactType: INDEX_TYPE,
    manifests: sorted.map(entryOf),
  })
  return { ...document, descriptor: { ...document.descriptor, artifactType: INDEX_TYPE } }
}

function entryOf({ platform, descriptor: { mediaType, digest, size } }: IndexMachine) {
  const [os, architecture] = platform.split("/")
  return { mediaType, artifactType: MANIFEST_TYPE, digest, size, platform: { os, architecture } }
}

/** `machines` with `added`, each in the place of the one for its platform. */
export function withMachines(
  machines: readonly IndexMachine[],
  added: readonly IndexMachine[],
): readonly IndexMachine[] {
  const platforms = new Set<Platform>(added.map(({ platform }) => platform))
  return [...machines.filter(({ platform }) => !platforms.has(platform)), ...added]
}
