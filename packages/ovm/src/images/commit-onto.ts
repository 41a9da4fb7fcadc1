import { isCoveredBy } from "../disk/within.ts"
import { OvmError } from "../errors.ts"
import type { Written } from "./commit.ts"
import type { OpenImage } from "./open.ts"
import type { PreparedImage } from "./prepared.ts"

type Layers = PreparedImage["layers"]

/**
 * Throws OVM_BASE_MISMATCH unless `below` is `started` with nothing more on its disks than where the guest that was
 * started from that has `written` as well: then what it wrote can go on top of it (OVMS-BLD-002, OVMS-BLD-003).
 */
export async function assertOnto(started: OpenImage, below: OpenImage, written: Written): Promise<void> {
  const fits =
    (await continues(started.image.layers, below.image.layers, written.first)) &&
    started.image.disks.length === below.image.disks.length
  const disks = started.image.disks.map(async ({ name, layers }) => {
    const other = below.image.disks.find((disk) => disk.name === name)
    return other !== undefined && (await continues(layers, other.layers, written.disks.get(name) ?? []))
  })
  if (fits && (await Promise.all(disks)).every(Boolean)) return
  const { reference } = below.image
  throw new OvmError("OVM_BASE_MISMATCH", `${reference} was not committed of this instance before`, {
    detail: [{ pointer: "/onto", reason: "its layers are of something else" }],
  })
}

async function continues(base: Layers, further: Layers, written: readonly string[]): Promise<boolean> {
  if (base.some(({ path }, at) => further[at]?.path !== path)) return false
  const added = further.slice(base.length)
  if (added.some(({ format }) => format !== "qcow2")) return false
  return await isCoveredBy(
    added.map(({ path }) => path),
    written,
  )
}
