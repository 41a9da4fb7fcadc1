import { createHash } from "node:crypto"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

// Images of other programs, as their tools write them into an OCI layout.

export interface Part {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly [member: string]: unknown
}

const INDEX = "application/vnd.oci.image.index.v1+json"
const MANIFEST = "application/vnd.oci.image.manifest.v1+json"
const EMPTY = "application/vnd.oci.empty.v1+json"

/** An OCI layout that is being written. */
export class ForeignLayout {
  constructor(readonly root: string) {
    mkdirSync(join(root, "blobs/sha256"), { recursive: true })
    writeFileSync(join(root, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  }

  blob(mediaType: string, content: Uint8Array | object, more: object = {}): Part {
    const bytes = content instanceof Uint8Array ? content : Buffer.from(JSON.stringify(content))
    const hex = createHash("sha256").update(bytes).digest("hex")
    writeFileSync(join(this.root, "blobs/sha256", hex), bytes)
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length, ...more }
  }

  manifest(
    members: { readonly layers: readonly Part[]; readonly [member: string]: unknown },
    more = {},
  ): Part {
    const config = this.blob(EMPTY, {})
    return this.blob(MANIFEST, { schemaVersion: 2, mediaType: MANIFEST, config, ...members }, more)
  }

  index(manifests: readonly Part[], more: object = {}): Part {
    return this.blob(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests, ...more })
  }

  /** A container image of these layers, tar archives compressed by gzip. */
  container(layers: readonly Uint8Array[]): Part {
    const config = {
      architecture: "amd64",
      os: "linux",
      rootfs: { type: "layers", diff_ids: [] },
      config: {},
    }
    return this.manifest({
      config: this.blob("application/vnd.oci.image.config.v1+json", config),
      layers: layers.map((layer) => this.blob("application/vnd.oci.image.layer.v1.tar+gzip", layer)),
    })
  }

  /** Makes `target` the one that is there. Gives the folder. */
  only(target: Part): string {
    return this.list([{ ...target, annotations: { "org.opencontainers.image.ref.name": "one" } }])
  }

  /** Makes these the entries of index.json. Gives the folder. */
  list(manifests: readonly Part[]): string {
    writeFileSync(join(this.root, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
    return this.root
  }
}
