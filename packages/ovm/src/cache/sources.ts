import { appendFileSync } from "node:fs"
import { type Digest, isDigest } from "../content/digest.ts"
import { textIfPresent } from "../files/present.ts"
import type { CacheFiles, Key } from "./files.ts"

// Of what blobs a file can be made. Without them it could not be made again, and nobody can ask for it.

export function addSource(files: CacheFiles, key: Key, source: Digest): void {
  if (sourcesOf(files, key).includes(source)) return
  appendFileSync(files.source(key), `${source}\n`, { mode: 0o600 })
}

export function sourcesOf(files: CacheFiles, key: Key): Digest[] {
  return (textIfPresent(files.source(key)) ?? "").split("\n").filter(isDigest)
}
