import { mkdirSync, writeFileSync } from "node:fs"
import { readdir, readFile } from "node:fs/promises"
import { join } from "node:path"
import { type Descriptor, digestOf, type Repository } from "../registry/content.ts"

const INDEX = "application/vnd.oci.image.index.v1+json"
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"

/** An OCI layout of something that is no machine of OVMS, as it is written. */
export class ForeignLayout {
  constructor(readonly root: string) {
    mkdirSync(join(root, "blobs/sha256"), { recursive: true })
    writeFileSync(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  }

  blob(mediaType: string, content: Uint8Array | object, more: object = {}): Descriptor {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content))
    const digest = digestOf(bytes)
    writeFileSync(join(this.root, "blobs/sha256", digest.slice("sha256:".length)), bytes)
    return { mediaType, digest, size: bytes.length, ...more }
  }

  manifest(members: object, more: object = {}): Descriptor {
    const config = this.blob("application/vnd.oci.empty.v1+json", {})
    return this.blob(MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config, ...members }, more)
  }

  index(manifests: readonly Descriptor[], more: object = {}): Descriptor {
    return this.blob(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests, ...more })
  }

  /** Puts all that is there into a repository, and gives the target the tag. */
  async into(repository: Repository, target: Descriptor, tag: string): Promise<void> {
    const folder = join(this.root, "blobs/sha256")
    for (const name of await readdir(folder)) repository.blob(await readFile(join(folder, name)))
    const bytes = repository.blobs.get(target.digest)
    if (bytes) repository.put(bytes, target.mediaType, tag)
  }

  /** Makes these all that is there. The folder. */
  only(...manifests: readonly Descriptor[]): string {
    writeFileSync(join(this.root, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
    return this.root
  }
}
