import { type OciIndex, validateIndex } from "../artifact/platforms/index-document.ts"
import { machinesIn } from "../artifact/platforms/machines.ts"
import { isIndex } from "../artifact/platforms/read.ts"
import { isSnapshotType } from "../artifact/types.ts"
import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Exister, Fetcher } from "../content/interfaces.ts"
import { parseLinks } from "../content/manifest.ts"
import { fetchAll } from "../content/read.ts"

export const KINDS = ["machine", "snapshot", "index"] as const

/** One line of `ovm images`. */
export interface Summary {
  readonly name: string
  readonly tag: string
  readonly type: (typeof KINDS)[number]
  readonly digest: Digest
  /** Of a snapshot: what it goes on from. */
  readonly base?: { readonly digest: Digest; readonly names: readonly string[] }
  /** Of an index: those of its machines that are here. */
  readonly platforms?: readonly string[]
  /** Bytes of everything that it consists of. */
  readonly size: number
  readonly created?: string
}

interface Summarized {
  readonly size: number
  readonly created?: string | undefined
  readonly snapshotOf?: Digest | undefined
  readonly platforms?: readonly string[]
}

const CREATED = "org.opencontainers.image.created"

/**
 * The size of an image, its manifest included, and its time of creation: of any OCI manifest, whatever it holds; of a
 * snapshot its base too, whose content is not part of the size; of an index which machines are here.
 */
export async function summarize(store: Fetcher & Exister, target: Descriptor): Promise<Summarized> {
  const bytes = await fetchAll(store, target)
  const { index } = isIndex(target) ? validateIndex(bytes) : {}
  if (index) return await summarizeIndex(store, target.size, index)
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

/** What its machines share counts once. */
async function summarizeIndex(store: Fetcher & Exister, size: number, index: OciIndex): Promise<Summarized> {
  const sizes = new Map<Digest, number>()
  const platforms: string[] = []
  for (const { platform, descriptor } of machinesIn(index)) {
    if (!(await store.exists(descriptor))) continue
    platforms.push(platform)
    sizes.set(descriptor.digest, descriptor.size)
    const { children } = parseLinks(await fetchAll(store, descriptor), descriptor.digest)
    for (const child of children) sizes.set(child.digest, child.size)
  }
  return { size: sizes.values().reduce((sum, one) => sum + one, size), platforms }
}
