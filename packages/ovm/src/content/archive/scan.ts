import { OvmError } from "../../errors.ts"
import { type Digest, isDigest } from "../digest.ts"
import type { Bytes } from "../interfaces.ts"
import { type Index, parseIndex } from "../layout/names.ts"
import { isLayoutMarker } from "../layout/reader.ts"
import { readAll } from "../read.ts"
import type { TarInput } from "./input.ts"
import { readTar } from "./tar.ts"

const INDEX_LIMIT = 64 * 1024 * 1024
const MARKER_LIMIT = 4096

export interface ArchiveBlob {
  readonly digest: Digest
  readonly size: number
  /** Where it begins in the archive. */
  readonly offset: number
  content(): Bytes
}

/**
 * Goes through the archive of an OCI image layout (image-spec: image-layout.md) once, in whatever order it is, handing
 * each blob to `onBlob`. Returns its index. Other files are passed over. Throws OVM_ARTIFACT_INVALID, naming `what` and
 * the fault.
 */
export async function scanArchive(
  input: TarInput,
  what: string,
  onBlob: (blob: ArchiveBlob) => Promise<void>,
): Promise<Index> {
  const fault = (reason: string, cause?: unknown) =>
    new OvmError("OVM_ARTIFACT_INVALID", `${what}: ${reason}`, { cause })
  let index: Index | undefined
  let marked = false
  for await (const { name, size, offset, directory, content } of readTar(input, what)) {
    if (directory) continue
    const hex = /^blobs\/sha256\/([^/]+)$/.exec(name)?.[1]
    if (hex !== undefined) {
      const digest = `sha256:${hex}`
      if (!isDigest(digest)) throw fault(`${name} is not named by a digest`)
      await onBlob({ digest, size, offset, content })
    } else if (name === "index.json") {
      if (index) throw fault("it has two files index.json")
      const bytes = await readAll(content(), INDEX_LIMIT, `${what}: index.json`)
      index = parseIndex(new TextDecoder().decode(bytes), (reason, cause) =>
        fault(`index.json cannot be understood: ${reason}`, cause),
      )
    } else if (name === "oci-layout") {
      const bytes = await readAll(content(), MARKER_LIMIT, `${what}: oci-layout`)
      if (!isLayoutMarker(new TextDecoder().decode(bytes)))
        throw fault("oci-layout does not have imageLayoutVersion 1")
      marked = true
    }
  }
  if (index && marked) return index
  throw fault(
    `it is not the archive of an OCI image layout: it has no ${marked ? "index.json" : "oci-layout"}`,
  )
}
