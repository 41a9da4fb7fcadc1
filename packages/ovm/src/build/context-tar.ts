import { tarMember } from "../content/archive/member.ts"
import { padding, TAR_END, type TarFacts } from "../content/archive/tar.ts"
import { sha256 } from "../content/digest.ts"
import type { Bytes } from "../content/interfaces.ts"
import { OvmError } from "../errors.ts"
import { readChunks } from "../files/chunks.ts"
import type { ContextEntry, ContextSource } from "./context.ts"

/** How what is copied looks in a guest. */
export interface Look {
  readonly owner?: { readonly user: number; readonly group: number }
  /** Permissions in place of what they are. */
  readonly chmod?: number
  /** No time is later, in seconds since 1970. */
  readonly latest?: number
}

/** Where what is copied goes. */
export interface CopyTarget {
  /** A folder that is there. */
  readonly folder: string
  /** Folders that are made in it first, each below the one before. */
  readonly made: readonly string[]
  /** What the source is called in `folder`, by the source's own name. */
  readonly called: (name: string) => string
}

/** What is copied from a context, as tar. Throws OVM_FILE_UNREADABLE for a file that was changed meanwhile. */
export async function* contextTar(sources: readonly ContextSource[], target: CopyTarget, look: Look): Bytes {
  yield* foldersTar(target.made, look)
  for (const { name, folder, entries } of sources) {
    const top = target.called(folder ? "" : name)
    for (const entry of entries) yield* member(entry, [top, entry.name].filter(Boolean).join("/"), look)
  }
  yield TAR_END
}

/** The beginning of an archive: folders. */
export function* foldersTar(made: readonly string[], { owner, latest }: Look): Generator<Uint8Array> {
  const time = latest ?? Math.floor(Date.now() / 1000)
  for (const folder of made) yield tarMember(`${folder}/`, 0, { mode: 0o755, time, ...(owner && { owner }) })
}

/** As it is to look. */
export function looking(
  facts: TarFacts,
  { owner, chmod, latest = Number.POSITIVE_INFINITY }: Look,
): TarFacts {
  const { mode, time = 0 } = facts
  return {
    ...facts,
    time: Math.min(time, latest),
    ...(owner && { owner }),
    ...(chmod !== undefined && facts.type !== "2" ? { mode: chmod } : mode !== undefined && { mode }),
  }
}

async function* member(entry: ContextEntry, name: string, look: Look): Bytes {
  const { kind, mode, time, size, path, digest, link } = entry
  if (kind === "link")
    yield tarMember(name, 0, looking({ mode: 0o777, time, type: "2", link: link ?? "" }, look))
  else if (kind === "folder") yield tarMember(`${name}/`, 0, looking({ mode, time }, look))
  else {
    yield tarMember(name, size, looking({ mode, time }, look))
    const hash = sha256()
    let length = 0
    for await (const chunk of readChunks(path)) {
      length += chunk.byteLength
      if (length > size) break
      hash.update(chunk)
      yield chunk
    }
    if (length !== size || hash.digest() !== digest)
      throw new OvmError("OVM_FILE_UNREADABLE", `${path}: it was changed while the build went on`)
    yield new Uint8Array(padding(size))
  }
}
