import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { ifPresent } from "../../files/present.ts"
import type { RegistryFiles } from "./files.ts"

/** Names of all repositories that have content, sorted. */
export async function repositoriesIn(files: RegistryFiles): Promise<string[]> {
  const found: string[] = []
  await walk(files, "", (name, own) => {
    if (own.has("_manifests") || own.has("_blobs")) found.push(name)
  })
  return found.sort()
}

/** Calls `visit` for every folder below, deepest first, with what is the repository's own in it. */
export async function walk(
  files: RegistryFiles,
  name: string,
  visit: (name: string, own: ReadonlySet<string>) => unknown,
): Promise<void> {
  const entries = (await ifPresent(readdir(join(files.repositories, name)))) ?? []
  for (const entry of entries)
    if (!entry.startsWith("_")) await walk(files, name === "" ? entry : `${name}/${entry}`, visit)
  if (name !== "") await visit(name, new Set(entries.filter((entry) => entry.startsWith("_"))))
}
