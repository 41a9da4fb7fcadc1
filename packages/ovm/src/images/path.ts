import { type FoundMachine, machineBehind, type Sought } from "../artifact/platforms/read.ts"
import { isArchive } from "../content/archive/reader.ts"
import { copyGraph } from "../content/copy.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { openPlace, rootAt, splitPlace } from "../content/place.ts"
import { OvmError } from "../errors.ts"
import type { EvidenceSource } from "../signing/interfaces.ts"
import { evidenceIn } from "../signing/source.ts"
import { baseIn } from "./along.ts"
import { copyIndex } from "./behind.ts"
import { evidenceOfBoth } from "./evidence.ts"
import { importManifestFile } from "./manifest-file.ts"

export interface Imported extends FoundMachine {
  /** Where the path's own signatures are, which are not copied, and those that the store has of it. */
  readonly evidence: EvidenceSource
}

/**
 * Copies what a path names into `store`, without giving it a name there: an OCI layout or the tar archive of one with
 * one artifact, either with `:TAG`, or a manifest file with its blobs beside it (spec/runtime-api.md). Throws
 * OVM_FILE_UNREADABLE, OVM_ARTIFACT_INVALID if there are several artifacts and no tag says which, OVM_UNSUPPORTED for a
 * compressed archive, and what reading it can throw.
 */
export async function importPath(
  store: LayoutStore,
  path: string,
  { platform, ...call }: Sought,
): Promise<Imported> {
  const place = await splitPlace(path)
  if (!place.directory && place.tag === undefined && !(await isArchive(place.path)))
    return { target: await importManifestFile(store, place.path, call), evidence: evidenceIn(store) }
  const [reader, root] = await foreign(async () => {
    const reader = await openPlace(place, call)
    return [reader, await rootAt(reader, place, call)] as const
  })
  const { target, index } = await machineBehind(reader, root, { platform, ...call })
  const base = await baseIn(reader, target, call)
  for (const part of base ? [base, target] : [target]) await copyGraph(reader, part, store, call)
  if (index) await copyIndex(reader, index, store, call)
  return { target, ...(index && { index }), evidence: evidenceOfBoth(evidenceIn(reader), evidenceIn(store)) }
}

/** What is wrong with a layout that somebody named is no fault of this host's store. */
async function foreign<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof OvmError && error.code === "OVM_STORE_CORRUPT")
      throw new OvmError("OVM_ARTIFACT_INVALID", error.message, { cause: error })
    throw error
  }
}
