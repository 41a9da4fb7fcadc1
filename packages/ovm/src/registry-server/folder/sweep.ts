import { rmdir, stat, unlink } from "node:fs/promises"
import { join } from "node:path"
import { bytesIfPresent, ifPresent } from "../../files/present.ts"
import { type BlobDigest, DIGEST_ALGORITHMS } from "../digest.ts"
import { digestsIn, namesInFolder } from "./files.ts"
import type { Folder } from "./folder.ts"
import { walk } from "./repositories.ts"

const DIGESTS = /sha(?:256:[0-9a-f]{64}|512:[0-9a-f]{128})\b/g

/**
 * Takes away what nobody needs: uploads that nobody went on with for `uploadMs`; blobs of a repository that none of its
 * manifests names, when they are older than `expiryMs`; then the bytes that belong to no repository, and folders
 * without content. Writers wait meanwhile.
 */
export async function sweep(folder: Folder, uploadMs: number, expiryMs: number): Promise<void> {
  const { files } = folder
  const oldest = Date.now() - expiryMs
  await folder.uploads.expire(uploadMs)
  return folder.gate.alone(async () => {
    const kept = new Set<BlobDigest>()
    for (const name of (await namesInFolder(files.temporary)) ?? [])
      await ifPresent(unlink(join(files.temporary, name)))
    await walk(files, "", async (repository) => {
      for (const digest of await ownedBy(folder, repository, oldest)) kept.add(digest)
      await prune(folder, repository)
    })
    for (const algorithm of DIGEST_ALGORITHMS)
      for (const encoded of (await namesInFolder(join(files.blobs, algorithm))) ?? [])
        if (!kept.has(`${algorithm}:${encoded}`)) await unlink(join(files.blobs, algorithm, encoded))
  })
}

async function ownedBy({ files }: Folder, repository: string, oldest: number): Promise<BlobDigest[]> {
  const manifests = await digestsIn(files.manifestLinks(repository))
  const named = new Set<string>()
  // By text, because a manifest may be of a type that nobody here knows.
  for (const digest of manifests)
    for (const name of (await bytesIfPresent(files.blob(digest)))?.toString().match(DIGESTS) ?? [])
      named.add(name)
  const blobs: BlobDigest[] = []
  for (const digest of await digestsIn(files.blobLinks(repository))) {
    const link = join(files.blobLinks(repository), digest)
    if (named.has(digest) || !(await isOlder(link, oldest))) blobs.push(digest)
    else await ifPresent(unlink(link))
  }
  return [...manifests, ...blobs]
}

/** Removes folders that are empty; the others stay by themselves. */
async function prune({ files }: Folder, repository: string): Promise<void> {
  const home = join(files.repositories, repository)
  for (const subject of (await namesInFolder(join(home, "_referrers"))) ?? [])
    await removeIfEmpty(join(home, "_referrers", subject))
  for (const own of (await namesInFolder(home)) ?? [])
    if (own.startsWith("_")) await removeIfEmpty(join(home, own))
  await removeIfEmpty(home)
}

async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== "ENOTEMPTY" && code !== "EEXIST" && code !== "ENOENT") throw error
  }
}

async function isOlder(path: string, oldest: number): Promise<boolean> {
  const found = await ifPresent(stat(path))
  return found !== undefined && found.mtimeMs < oldest
}
