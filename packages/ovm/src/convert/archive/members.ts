import { posix } from "node:path"
import type { Call } from "../../content/interfaces.ts"
import { type ArchivedFile, filesInTar } from "./files.ts"

/** What is in a tar archive, by name. */
export interface TarMembers {
  readonly files: ReadonlyMap<string, ArchivedFile>
  /** Symbolic links: where they lead, as the archive says it. */
  readonly links: ReadonlyMap<string, string>
}

/** One is what any program writes. */
const MOST_LINKS = 8

/** Throws OVM_ARTIFACT_INVALID, OVM_FILE_UNREADABLE. */
export async function tarMembers(path: string, call: Call = {}): Promise<TarMembers> {
  const links = new Map<string, string>()
  const files = await Array.fromAsync(filesInTar(path, call, (name, target) => links.set(name, target)))
  return { files: new Map(files.map((file) => [file.name, file])), links }
}

/** The file that `name` is, or that links lead to from there; where there is none, what is wrong, in words. */
export function memberCalled(name: string, { files, links }: TarMembers): ArchivedFile | string {
  const quoted = JSON.stringify(name)
  let at = posix.normalize(name)
  for (let followed = 0; followed <= MOST_LINKS; followed++) {
    const found = files.get(at)
    if (found) return found
    const target = links.get(at)
    if (target === undefined)
      return followed > 0 ? `${quoted} leads to nothing in it` : `${quoted} is not in it`
    at = posix.join(posix.dirname(at), target)
    if (target.startsWith("/") || at.split("/")[0] === "..") return `${quoted} leads out of it`
  }
  return `${quoted} leads through more than ${MOST_LINKS} links`
}
