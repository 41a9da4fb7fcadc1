import type { Descriptor } from "../content/descriptor.ts"
import type { LayoutReader } from "../content/layout/reader.ts"
import { QCOW2_MAGIC } from "../disk/magic.ts"

const SIZE_AT = 24

/**
 * Size in bytes of the disk in a layer, for show: out of the qcow2 header alone, without verifying the blob behind
 * it. Undefined where it cannot be read: missing or damaged content is the business of `ovm validate`.
 */
export function virtualSize(
  source: Pick<LayoutReader, "peek">,
  layer: Descriptor,
  format: "qcow2" | "raw",
): number | undefined {
  if (format === "raw") return layer.size
  const head = source.peek(layer, SIZE_AT + 8)
  if (!head) return undefined
  const view = new DataView(head.buffer)
  return view.getUint32(0) === QCOW2_MAGIC ? Number(view.getBigUint64(SIZE_AT)) : undefined
}
