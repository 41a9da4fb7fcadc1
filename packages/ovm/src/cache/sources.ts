import { appendFile, readFile } from "node:fs/promises"
import { type Digest, isDigest } from "../content/digest.ts"
import { ifPresent } from "../content/layout/files.ts"
import type { CacheFiles, Key } from "./files.ts"

// Of what blobs a file can be made. Without them it could not be made again, and nobody can ask for it.

export async function addSource(files: CacheFiles, key: Key, source: Digest): Promise<void> {
  if ((await sourcesOf(files, key)).includes(source)) return
  await appendFile(files.source(key), `${source}\n`, { mode: 0o600 })
}

export async function sourcesOf(files: CacheFiles, key: Key): Promise<Digest[]> {
  const text = (await ifPresent(readFile(files.source(key), "utf8"))) ?? ""
  return text.split("\n").filter(isDigest)
}
