import { isSnapshotType } from "../artifact/types.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Fetcher } from "../content/interfaces.ts"
import { parseLinks } from "../content/manifest.ts"
import { fetchAll } from "../content/read.ts"

export const KINDS = ["machine", "snapshot"] as const

/** One line of `ovm images`. */
export interface Summary {
  readonly name: string
  readonly tag: string
  readonly type: (typeof KINDS)[number]
  readonly digest: Digest
  /** Of a snapshot: what it goes on from. */
  readonly base?: { readonly digest: Digest; readonly names: readonly string[] }
  /** Bytes of everything that it consists of. */
  readonly size: number
  readonly created?: string
}

const CREATED = "org.opencontainers.image.created"

/**
 * The size of an image, its manifest included, and its time of creation: of any OCI manifest, whatever it holds; of a
 * snapshot its base too, whose content is not part of the size.
 */
export async function summarize(
  store: Fetcher,
  target: Descriptor,
): Promise<{ size: number; created: string | undefined; snapshotOf: Digest | undefined }> {
  const bytes = await fetchAll(store, target)
  const { children, subject, types } = parseLinks(bytes, target.digest)
  const sizes = new Map(children.map((child) => [child.digest, child.size]))
  const { annotations } = JSON.parse(new TextDecoder().decode(bytes)) as {
    annotations?: Record<string, unknown>
  }
  const created = annotations?.[CREATED]
  return {
    size: sizes.values().reduce((sum, size) => sum + size, target.size),
    created: typeof created === "string" ? created : undefined,
    snapshotOf: types.some(isSnapshotType) ? subject : undefined,
  }
}
