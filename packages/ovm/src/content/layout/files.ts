import { join } from "node:path"
import { type Digest, hexOf } from "../digest.ts"

/** Where things are in a layout. What OCI does not know of is in one folder, which other tools leave alone. */
export class LayoutFiles {
  readonly marker: string
  readonly index: string
  readonly blobs: string
  readonly lock: string
  readonly ingest: string
  readonly leases: string
  readonly verified: string
  readonly reserve: string

  constructor(readonly root: string) {
    this.marker = join(root, "oci-layout")
    this.index = join(root, "index.json")
    this.blobs = join(root, "blobs", "sha256")
    this.lock = join(root, "ovm", "lock")
    this.ingest = join(root, "ovm", "ingest")
    this.leases = join(root, "ovm", "leases")
    this.verified = join(root, "ovm", "verified")
    this.reserve = join(root, "ovm", "reserve")
  }

  blob(digest: Digest): string {
    return join(this.blobs, hexOf(digest))
  }
}
