import { OvmError } from "../../errors.ts"
import { isObject } from "../../objects.ts"
import type { CopyEvent } from "../copy.ts"
import type { Descriptor } from "../descriptor.ts"
import { hexOf } from "../digest.ts"
import { graphOf } from "../graph.ts"
import type { Bytes, Call, Fetcher, ReferrerLister } from "../interfaces.ts"
import { NAME } from "../layout/names.ts"
import { OCI_INDEX } from "../manifest.ts"
import { fetchAll } from "../read.ts"
import { padding, TAR_END, tarHeader } from "./tar.ts"

/** What goes into an archive under which name. */
export interface ArchiveRoot {
  readonly target: Descriptor
  readonly name?: string
}

export interface ArchiveOptions extends Call {
  readonly includeReferrers?: boolean
  onProgress?(event: CopyEvent): void
}

/**
 * The tar archive of an OCI image layout with `roots` and all that they refer to, as a stream: the same content gives
 * the same bytes, whatever store it came from. Referrers are listed in the index without a name, where other tools look
 * for them. Every blob is verified on its way; if one is not what its name says the stream ends in an error, not in an
 * archive.
 */
export async function* writeArchive(
  source: Fetcher & Partial<ReferrerLister>,
  roots: readonly ArchiveRoot[],
  options: ArchiveOptions = {},
): Bytes {
  const call = options.signal ? { signal: options.signal } : {}
  const { nodes, referrers } = await graphOf(
    source,
    roots.map(({ target }) => target),
    options,
  )
  const listed = [...roots, ...referrers.map((target) => ({ target }))]
  const entries: object[] = []
  for (const root of unique(listed)) entries.push(await indexEntry(source, root, call))
  yield* file("oci-layout", '{"imageLayoutVersion":"1.0.0"}')
  yield* file("index.json", JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries }))
  yield tarHeader("blobs/", 0)
  yield tarHeader("blobs/sha256/", 0)
  for (const node of nodes.toSorted((a, b) => (a.digest < b.digest ? -1 : 1))) {
    yield tarHeader(`blobs/sha256/${hexOf(node.digest)}`, node.size)
    let done = 0
    for await (const chunk of await source.fetch(node, call)) {
      yield chunk
      done += chunk.byteLength
      options.onProgress?.({ phase: "transfer", descriptor: node, done, total: node.size })
    }
    yield new Uint8Array(padding(node.size))
    options.onProgress?.({ phase: "done", descriptor: node, done: node.size, total: node.size })
  }
  yield TAR_END
}

function* file(name: string, content: string): Iterable<Uint8Array> {
  const bytes = Buffer.from(content)
  yield tarHeader(name, bytes.byteLength)
  yield bytes
  yield new Uint8Array(padding(bytes.byteLength))
}

/** In one order, each name and each nameless digest once. */
function unique(roots: readonly ArchiveRoot[]): ArchiveRoot[] {
  const named = new Set(roots.flatMap(({ target, name }) => (name === undefined ? [] : [target.digest])))
  const key = ({ target, name }: ArchiveRoot) => `${name ?? ""} ${target.digest}`
  const kept = new Map<string, ArchiveRoot>()
  for (const root of roots)
    if (root.name !== undefined || !named.has(root.target.digest)) kept.set(key(root), root)
  return [...kept.values()].toSorted((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** What the manifest itself says, and not what the store that it came from happens to know. */
async function indexEntry(source: Fetcher, { target, name }: ArchiveRoot, call: Call): Promise<object> {
  const { mediaType, digest, size } = target
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder().decode(await fetchAll(source, target, undefined, call)))
  } catch (cause) {
    if (cause instanceof OvmError) throw cause
    throw new OvmError("OVM_ARTIFACT_INVALID", `${digest} is not a manifest`, { cause })
  }
  const artifactType = isObject(document) ? document.artifactType : undefined
  return {
    mediaType,
    digest,
    size,
    ...(typeof artifactType === "string" && { artifactType }),
    ...(name !== undefined && { annotations: { [NAME]: name } }),
  }
}
