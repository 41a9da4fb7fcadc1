import { existsSync } from "node:fs"
import { join } from "node:path"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf, hexOf } from "../../content/digest.ts"
import type { Bytes, Call, Fetcher } from "../../content/interfaces.ts"
import { missing } from "../../content/layout/blobs.ts"
import { parseLinks } from "../../content/manifest.ts"
import { MANIFEST_LIMIT } from "../../content/read.ts"
import { verifiedContent } from "../../content/verify.ts"
import { readChunks } from "../../files/chunks.ts"
import { readRegular } from "../../files/regular.ts"

const MARK = "Directory Transport Version: 1."
const MARK_LIMIT = 4096
const MANIFEST = "manifest.json"

/** Whether the folder `path` has one image as skopeo's `dir:` and Podman's `docker-dir` write it (OVMS-IMP-087). */
export async function isImageFolder(path: string): Promise<boolean> {
  const mark = await readRegular(join(path, "version"), MARK_LIMIT).catch(() => undefined)
  return mark !== undefined && new TextDecoder().decode(mark).startsWith(MARK)
}

/** The image of such a folder. Throws OVM_FILE_UNREADABLE, OVM_ARTIFACT_INVALID, OVM_TOO_LARGE. */
export async function openImageFolder(path: string): Promise<{ source: Fetcher; target: Descriptor }> {
  const file = join(path, MANIFEST)
  const bytes = await readRegular(file, MANIFEST_LIMIT)
  const { mediaType } = parseLinks(bytes, file)
  const target = { mediaType, digest: digestOf(bytes), size: bytes.length }
  return { source: new ImageFolder(path, target), target }
}

class ImageFolder implements Fetcher {
  constructor(
    private readonly root: string,
    private readonly manifest: Descriptor,
  ) {}

  async fetch(target: Descriptor, call: Call = {}): Promise<Bytes> {
    const path = join(this.root, target.digest === this.manifest.digest ? MANIFEST : hexOf(target.digest))
    if (!existsSync(path)) throw missing(target.digest, this.root)
    return verifiedContent(readChunks(path, call), target, path)
  }
}
