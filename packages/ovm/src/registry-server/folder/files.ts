import { mkdir, readdir, stat, unlink } from "node:fs/promises"
import { dirname, join } from "node:path"
import { bytesIfPresent, ifPresent } from "../../files/present.ts"
import { replaceFile } from "../../files/replace.ts"
import { syncDirectory } from "../../files/sync.ts"
import { type BlobDigest, digestAlgorithmOf, encodedOf, isBlobDigest } from "../digest.ts"

/** Where things are in a registry's folder. What belongs to a repository begins with `_`, which no name does. */
export class RegistryFiles {
  readonly marker: string
  readonly lock: string
  readonly blobs: string
  readonly repositories: string
  readonly temporary: string

  constructor(readonly root: string) {
    this.marker = join(root, "ovm-registry.json")
    this.lock = join(root, "lock")
    this.blobs = join(root, "blobs")
    this.repositories = join(root, "repositories")
    this.temporary = join(root, "tmp")
  }

  /** The bytes, whoever they belong to. */
  blob(digest: BlobDigest): string {
    return join(this.blobs, digestAlgorithmOf(digest), encodedOf(digest))
  }

  /** Folder of the empty files that say which blobs are the repository's. */
  blobLinks(repository: string): string {
    return join(this.repositories, repository, "_blobs")
  }

  /** Folder of the files that say which manifests are the repository's, and of what type. */
  manifestLinks(repository: string): string {
    return join(this.repositories, repository, "_manifests")
  }

  /** Folder of the files that are named as a tag and have its digest. */
  tags(repository: string): string {
    return join(this.repositories, repository, "_tags")
  }

  /** Folder of the descriptors of all manifests that have `subject`. */
  referrers(repository: string, subject: BlobDigest): string {
    return join(this.repositories, repository, "_referrers", subject)
  }

  uploads(repository: string): string {
    return join(this.repositories, repository, "_uploads")
  }

  /** Replaces the file `path` in one step that survives a crash of the host. */
  async write(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
    await makeDirectory(dirname(path))
    await replaceFile(path, content, { mode, durable: true, by: this.temporary })
  }
}

/** Makes the folder and those above it, so that they survive a crash of the host. */
export async function makeDirectory(path: string): Promise<void> {
  const first = await mkdir(path, { recursive: true, mode: 0o700 })
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made))
}

export async function exists(path: string): Promise<boolean> {
  return (await ifPresent(stat(path))) !== undefined
}

/** Takes a file away, lastingly; false if it is not there. */
export async function removeFile(path: string): Promise<boolean> {
  const removed = await ifPresent(unlink(path).then(() => true))
  if (removed) await syncDirectory(dirname(path))
  return removed === true
}

/** Names in a folder, sorted; undefined if there is no such folder. */
export async function namesInFolder(path: string): Promise<string[] | undefined> {
  return (await ifPresent(readdir(path)))?.sort()
}

export async function digestsIn(path: string): Promise<BlobDigest[]> {
  return ((await namesInFolder(path)) ?? []).filter((name) => isBlobDigest(name))
}

export async function textOf(path: string): Promise<string | undefined> {
  return (await bytesIfPresent(path))?.toString()
}
