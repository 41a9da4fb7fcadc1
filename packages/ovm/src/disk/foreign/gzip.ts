import type { Foreign } from "./sample.ts"
import { has, type Kind, type Sample } from "./sample.ts"
import { notBootable } from "./tar.ts"

/** Of what is compressed: it may inflate to a thousand times as much. */
const SAMPLE = 16 * 1024
const FIRST = 512

/**
 * Whether what begins as gzip does can be inflated, and what comes out: of its magic number three bytes are too few. A
 * tar archive in it is the layer of a container image more often than anything else.
 */
export async function gzipOf(sample: Sample, plain: Kind): Promise<Foreign | undefined> {
  const start = await inflated(sample, SAMPLE)
  // Where it is damaged further on, or something stands behind it, its first bytes tell as well.
  if (!start) return (await inflated(sample, FIRST))?.length ? plain : undefined
  if (!has(start, 257, "ustar")) return plain
  return {
    name: "a compressed tar archive, such as the layer of a container image",
    help: (path) => `tar xzf ${path}, and give the disk that is in it; ${notBootable()}`,
  }
}

/** What its first `bytes` stand for; undefined if they are no gzip. */
async function inflated(sample: Sample, bytes: number): Promise<Buffer | undefined> {
  const { gunzipSync, constants } = await import("node:zlib")
  const head = await sample.read(0, bytes)
  try {
    return gunzipSync(head, { finishFlush: constants.Z_SYNC_FLUSH })
  } catch {
    return undefined
  }
}
