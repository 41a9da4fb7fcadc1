import type { Foreign } from "./sample.ts"
import { has, type Kind, type Sample } from "./sample.ts"
import { notBootable } from "./tar.ts"

/** Of what is compressed: it may inflate to a thousand times as much. */
const SAMPLE = 16 * 1024

/**
 * Whether what begins as gzip does can be inflated, and what comes out: of its magic number three bytes are too few. A
 * tar archive in it is the layer of a container image more often than anything else.
 */
export async function gzipOf(sample: Sample, plain: Kind): Promise<Foreign | undefined> {
  const { gunzipSync, constants } = await import("node:zlib")
  try {
    const start = gunzipSync(await sample.read(0, SAMPLE), { finishFlush: constants.Z_SYNC_FLUSH })
    if (!has(start, 257, "ustar")) return plain
    return {
      name: "a compressed tar archive, such as the layer of a container image",
      help: (path) => `tar xzf ${path}, and give the disk that is in it; ${notBootable()}`,
    }
  } catch {
    return undefined
  }
}
