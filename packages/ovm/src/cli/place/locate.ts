import { isPath, parseReference } from "../../registry/reference.ts"
import { digested } from "../digits.ts"
import { unknownHere } from "../names.ts"
import { type Opened, type OpenOptions, openHere, openInRegistry, openPath } from "./open.ts"

/**
 * Finds an image without copying anything: the OCI layout, or the archive of one, at a path (`PATH` or `PATH:TAG`),
 * this host's store, else the registry in the name. Throws OVM_NAME_UNKNOWN, OVM_FILE_UNREADABLE,
 * OVM_ARTIFACT_INVALID, and what a registry fails with.
 */
export async function locate(text: string, options: OpenOptions = {}): Promise<Opened> {
  if (isPath(text)) return openPath(text, options)
  const known = await digested(text)
  const found = known && (await openHere(known.names[0] ?? known.digest, options))
  if (found) return found
  const reference = parseReference(text)
  const here = await openHere(reference.toString(), options)
  if (here) return here
  if (reference.host === undefined) throw unknownHere(text)
  return openInRegistry(reference, options)
}
