import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { writeLayout } from "../../artifact/layout.ts"
import { artifactOf } from "../../artifact/make.ts"
import { must } from "../../check.ts"
import { digestOf, hex } from "../../registry/content.ts"
import type { Plan, Scene } from "./plan.ts"

/**
 * What a PC BIOS loads and enters (counter.s): if it was entered as of drive 80h, it counts a byte of the disk's
 * second sector up, and writes `BOOT `, the count as a digit, and a line feed to the first serial port; `FIXED` where
 * the disk cannot be written to.
 */
const COUNTER = hex(
  "fa31c08ed88ec08ed0bc007c80fa80753efbb80102b90200ba8000bb0080cd13722dfe060080b80103b90200ba8000bb0080cd13be5b7c720ba000800430a2587cbe537cbaf803ac84c07403eeebf8faf4ebfc424f4f5420300a0046495845440a00",
)

function disk(size = 1 << 20): Buffer {
  const bytes = Buffer.alloc(size)
  COUNTER.copy(bytes)
  bytes.writeUInt16LE(0xaa55, 510)
  return bytes
}

/** A machine without a kernel, whose disk counts; its layout, and the path of the disk's blob. */
async function machine({ folder }: Scene): Promise<{ layout: string; blob: string }> {
  const layout = await writeLayout(join(folder, "bios"), artifactOf({ kernelless: true, disk: disk() }))
  return { layout, blob: join(layout, "blobs/sha256", digestOf(disk()).slice(7)) }
}

export const biosPlans: readonly Plan[] = [
  {
    name: "boots-from-its-disk",
    covers: ["OVMS-MAN-026", "OVMS-GST-012", "OVMS-DSK-006", "OVMS-STA-028", "OVMS-GST-030"],
    async run(scene) {
      const { runtime, start } = scene
      const { layout, blob } = await machine(scene)
      const id = await start({ manifest: layout })
      await runtime.says(id, /BOOT 1\n/)
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      await runtime.ask("POST /instances/{instance_id}/start", id)
      await runtime.says(id, /BOOT 2\n/)
      must((await readFile(blob)).equals(disk()), "the guest's writes are in the layer")
      const other = await start({ manifest: layout })
      await runtime.says(other, /BOOT 1\n/)
    },
  },
  {
    name: "read-only-disk",
    covers: ["OVMS-API-036", "OVMS-GST-031"],
    async run(scene) {
      const { runtime, start } = scene
      const { layout } = await machine(scene)
      const id = await start({ manifest: layout, overrides: { readOnly: true } })
      await runtime.says(id, /FIXED\n/)
      const { disks } = await runtime.status(id)
      must(
        isDeepStrictEqual(disks, [{ size: 1 << 20, read_only: true }]),
        `disks is ${JSON.stringify(disks)}`,
      )
    },
  },
]
