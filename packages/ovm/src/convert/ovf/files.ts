import type { Bytes, Call } from "../../content/interfaces.ts"
import { type ArchivedFile, archivedFiles, contentIn } from "../archive/files.ts"

/** The files that a package consists of, wherever they are. */
export interface PackagedFiles {
  readonly files: ReadonlyMap<string, ArchivedFile>
  /** Names of those that describe a machine. */
  readonly descriptors: readonly string[]
  readonly content: (file: ArchivedFile) => Bytes
}

/** Those in the tar archive `path`. Throws as archivedFiles does. */
export async function filesInArchive(path: string, call: Call): Promise<PackagedFiles> {
  const list = await archivedFiles(path, call)
  return {
    files: new Map(list.map((file) => [file.name, file])),
    descriptors: list.flatMap(({ name }) => (/\.ovf$/i.test(name) ? [name] : [])),
    content: (file) => contentIn(path, file, call),
  }
}
