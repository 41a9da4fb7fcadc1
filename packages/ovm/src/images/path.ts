import { isArchive } from "../content/archive/reader.ts"
import { copy } from "../content/copy.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Call } from "../content/interfaces.ts"
import type { LayoutStore } from "../content/layout/store.ts"
import { openPlace, rootAt, splitPlace } from "../content/place.ts"
import { importManifestFile } from "./manifest-file.ts"

/**
 * Copies what a path names into `store`, without giving it a name there: an OCI layout or the tar archive of one with one
 * artifact, either with `:TAG`, or a manifest file with its blobs beside it (spec/runtime-api.md). Throws OVM_FILE_UNREADABLE,
 * OVM_ARTIFACT_INVALID if there are several artifacts and no tag says which, OVM_UNSUPPORTED for a compressed archive, and
 * what reading it can throw.
 */
export async function importPath(store: LayoutStore, path: string, call: Call): Promise<Descriptor> {
  const place = await splitPlace(path)
  if (!place.directory && place.tag === undefined && !(await isArchive(place.path)))
    return importManifestFile(store, place.path, call)
  const reader = await openPlace(place, call)
  const root = await rootAt(reader, place, call)
  return copy(reader, root.digest, store, undefined, call)
}
