import { open } from "node:fs/promises"
import { guarded } from "../../../files/guarded.ts"
import { inMemory } from "../../generation-id.ts"
import { PAGE } from "../migration/format.ts"
import type { DeviceState } from "../migration/splitter.ts"

/** Where in a page of its own the firmware keeps the ID (QEMU: docs/specs/vmgenid). */
const ID_AT = 40
const PIECE = 256 * PAGE

/**
 * True for some 0.1 ms of a guest's life: its firmware has the generation ID `id` in the RAM file `ram`, and has not
 * said where, so that a clone would keep it. Before that a clone's firmware reads the clone's own, and afterwards QEMU
 * replaces it. Throws OVM_FILE_UNREADABLE.
 */
export async function isGenerationFixed(
  { bytes, devices }: DeviceState,
  ram: string,
  id: string | undefined,
): Promise<boolean> {
  const device = devices.find(({ name }) => name === "vmgenid")
  if (id === undefined || !device || device.size < 8 || bytes.readBigUInt64LE(device.at) !== 0n) return false
  const wanted = inMemory(id)
  return await guarded(async () => {
    await using file = await open(ram)
    const piece = Buffer.alloc(PIECE)
    for (let at = 0; ; at += PIECE) {
      const { bytesRead } = await file.read(piece, 0, PIECE, at)
      for (let page = 0; page < bytesRead; page += PAGE)
        if (piece.subarray(page + ID_AT, page + ID_AT + wanted.length).equals(wanted)) return true
      if (bytesRead < PIECE) return false
    }
  })
}
