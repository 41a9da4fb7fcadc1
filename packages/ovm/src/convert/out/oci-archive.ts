import { writeArchive } from "../../content/archive/write.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { type Digest, digestOf } from "../../content/digest.ts"
import type { Bytes, Call, Fetcher } from "../../content/interfaces.ts"
import { bytesOf } from "../../content/read.ts"
import { OvmError } from "../../errors.ts"

/** Content that is about to be written into the archive of an OCI layout. */
export class ArchiveContent implements Fetcher {
  readonly #open = new Map<Digest, () => Bytes>()

  add(descriptor: Descriptor, open: () => Bytes): Descriptor {
    this.#open.set(descriptor.digest, open)
    return descriptor
  }

  /** A JSON document. */
  document(mediaType: string, value: object): Descriptor {
    const bytes = Buffer.from(JSON.stringify(value))
    const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.length }
    return this.add(descriptor, () => bytesOf(bytes))
  }

  async fetch({ digest }: Descriptor): Promise<Bytes> {
    const open = this.#open.get(digest)
    if (open) return open()
    throw new OvmError("OVM_CONTENT_MISSING", `${digest} is not there`)
  }

  /** The archive of `target` and all that it refers to, under that name. */
  archive(target: Descriptor, name: string, call: Call): Bytes {
    return writeArchive(this, [{ target, name }], call)
  }
}
