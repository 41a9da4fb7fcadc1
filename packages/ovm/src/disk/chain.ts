import { invalid } from "./file.ts"
import type { DiskInfo } from "./inspect.ts"

/** Most layers of one disk (spec/limits.md). Each is an open file and one more step for a read that finds nothing. */
export const MAX_LAYERS = 64

/**
 * Judges layers, base first, as one chain: raw only at the bottom, the virtual size never shrinks, not too many
 * (spec/disk.md). Throws OVM_DISK_INVALID naming the layer's file.
 */
export function checkChain(layers: readonly DiskInfo[]): void {
  let below: DiskInfo | undefined
  for (const [index, layer] of layers.entries()) {
    if (index >= MAX_LAYERS)
      throw invalid(layer.path, `is layer ${index}; a disk has at most ${MAX_LAYERS} layers`)
    if (layer.format === "raw" && index > 0)
      throw invalid(layer.path, `is raw at layer ${index}; only the first layer may be raw`)
    if (below && layer.virtualSize < below.virtualSize)
      throw invalid(
        layer.path,
        `shrinks the disk to ${layer.virtualSize} bytes, below the ${below.virtualSize} of layer ${index - 1}`,
      )
    below = layer
  }
}
