import { must } from "../check.ts"

export interface Overlay {
  /** Bytes of the disk. */
  readonly size: number
  /** How many clusters have bytes of their own. */
  readonly clusters: number
}

/** What a qcow2 file holds, as far as its header and tables say. */
export function overlayOf(bytes: Buffer): Overlay {
  must(bytes.toString("latin1", 0, 4) === "QFI\u00fb", "a layer is no qcow2")
  const cluster = 1 << bytes.readUInt32BE(20)
  const entries = bytes.readUInt32BE(36)
  const table = Number(bytes.readBigUInt64BE(40))
  const at = (offset: number) => Number(bytes.readBigUInt64BE(offset) & 0x00fffffffffffe00n)
  let clusters = 0
  for (let one = 0; one < entries; one++) {
    const second = at(table + 8 * one)
    if (second === 0) continue
    for (let two = 0; two < cluster / 8; two++) if (bytes.readBigUInt64BE(second + 8 * two) !== 0n) clusters++
  }
  return { size: Number(bytes.readBigUInt64BE(24)), clusters }
}
