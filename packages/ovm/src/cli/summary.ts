import type { Descriptor } from "../content/descriptor.ts"
import type { Digest } from "../content/digest.ts"
import type { Fetcher } from "../content/interfaces.ts"
import { parseLinks } from "../content/manifest.ts"
import { fetchAll } from "../content/read.ts"

/** One line of `ovm images`. */
export interface Summary {
  readonly name: string
  readonly tag: string
  readonly digest: Digest
  /** Bytes of everything that it consists of. */
  readonly size: number
  readonly created?: string
}

const CREATED = "org.opencontainers.image.created"

/** The size of an image, its manifest included, and its time of creation: of any OCI manifest, whatever it holds. */
export async function summarize(
  store: Fetcher,
  target: Descriptor,
): Promise<{ size: number; created: string | undefined }> {
  const bytes = await fetchAll(store, target)
  const { children } = parseLinks(bytes, target.digest)
  const sizes = new Map(children.map((child) => [child.digest, child.size]))
  const { annotations } = JSON.parse(new TextDecoder().decode(bytes)) as {
    annotations?: Record<string, unknown>
  }
  const created = annotations?.[CREATED]
  return {
    size: sizes.values().reduce((sum, size) => sum + size, target.size),
    created: typeof created === "string" ? created : undefined,
  }
}
